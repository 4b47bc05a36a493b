"""Parses the bytes of an email into parts in linear time, even if lines are malformed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message as ParameterReader
from functools import cached_property
from typing import Final

from eventlab.mailroom.mail.charset import WIDE, codec_of, decode, one_line
from eventlab.mailroom.mail.encoding import (
    decoded,
    decoded_size,
    decoded_text,
    encoding_of,
    without_comments,
)
from eventlab.mailroom.mail.header import MAX_HEADER, as_bytes, words

MAX_DEPTH: Final = 50
MAX_PARTS: Final = 1000
MAX_HEADERS_BYTES: Final = 256 * 1024
MAX_HEADERS_OF_A_NAME: Final = 5
MAX_CONTENT_HEADER: Final = 2 * 1024
MAX_PARAMETERS: Final = 40
MAX_NAME: Final = 200
#: The maximum number of bytes to search for boundaries; nested parts are searched more than once.
MAX_SEARCHED: Final = 500 * 1024 * 1024
#: The maximum size of a text, in bytes. The middle of a longer text (in base64: the end) is cut.
MAX_TEXT: Final = 1024 * 1024
#: The maximum size of an HTML text, in bytes. An HTML text may contain photos.
MAX_PAGE: Final = 16 * 1024 * 1024
#: A picture that is embedded in HTML as a data URL.
PICTURE: Final = re.compile(rb"data:[\w/+.-]{1,60};base64,[A-Za-z0-9+/=%\s]+")
#: The maximum size, in bytes, of an encoded multipart or email (neither should be encoded).
MAX_ENCODED: Final = 8 * 1024 * 1024
LINE: Final = re.compile(rb"([^\r\n]*)(?:\r{0,2}\n|\r|\Z)")
FIELD: Final = re.compile(rb"([^\s:]+)[ \t]*:[ \t]*")
#: A line that is certainly a header, even after a line that is not a header.
KNOWN_FIELD: Final = re.compile(
    rb"(?:from|to|cc|bcc|subject|date|sender|received|references|precedence|organization"
    rb"|(?:x|content|message|mime|reply|return|in-reply|list|dkim|arc|authentication|resent"
    rb"|delivered|auto|user|thread|disposition|feedback|errors|envelope)-[\w-]+)[ \t]*:",
    re.IGNORECASE,
)
BLANK_LINES: Final = re.compile(rb"(?:[ \t]{0,80}\r{0,2}\n){1,100}")
END_OF_BOUNDARY: Final = re.compile(rb"(--)?[ \t]*(?:\r{0,2}\n|\r|\Z)")
#: A likely boundary of a multipart whose header names a different boundary, or none.
LIKELY_BOUNDARY: Final = re.compile(
    rb"(?<=[\r\n])--(\S{1,70})[ \t]{0,9}\r{0,2}\n(?=content-[\w-]{1,30}:)", re.IGNORECASE
)
TYPE: Final = re.compile(rb"\s*([\w!#$&^.+-]{1,60})\s*/\s*([\w!#$&^.+-]{1,100})")
MAILS: Final = ("message/rfc822", "message/global", "message/news")

Buffer = bytes | bytearray
Headers = Mapping[str, list[bytes]]


@dataclass(eq=False)
class MailPart:
    """An email or one of its parts, with its own headers (by lowercase name) and its own parts.

    ``default_type`` is the type of a part without a declared type. ``size`` and ``filename`` are
    known even if the content of a part was not fetched. ``cut`` is True if inner parts were left
    out.
    """

    headers: Headers
    data: Buffer = b""
    start: int = 0
    end: int = 0
    default_type: str = "text/plain"
    parts: list[MailPart] = field(default_factory=list)
    cut: bool = False
    plain: bool = False  # already decoded
    size: int | None = None
    filename: str = ""

    def value(self, name: str) -> bytes:
        """Return the first value of a header, or b"" if there is none."""
        return next(iter(self.headers.get(name, ())), b"")

    def parameter(self, name: str, header: str = "content-type") -> str:
        """Return a parameter of a header as one line of decoded text, or "" if there is none.

        >>> part.parameter("filename", "content-disposition")
        'invoice.pdf'
        """
        value = self.value(header)
        if "name" not in name:  # unquoted brackets are common in the name of a file
            value = without_comments(value)
        reader = ParameterReader()
        reader[header] = value.decode("latin-1")
        found = reader.get_param(name, None, header)
        if isinstance(found, tuple):  # RFC 2231: charset, language, each byte as one character
            charset, _language, text = found
            data = text.encode("latin-1") if max(text, default="") < "\u0100" else as_bytes(text)
            return one_line(decode(data, charset))
        if isinstance(found, str):
            return words(found.encode("latin-1"))
        # The parameter may follow a comma, or no separator at all.
        loose = re.search(rb"[\s,;]%s\s*=\s*(?:\"([^\"]*)\"|([^\s,;\"]+))" % name.encode(), value)
        return words(loose[1] or loose[2] or b"") if loose else ""

    @cached_property
    def type(self) -> str:
        """The media type in lower case, such as text/plain."""
        value = without_comments(self.value("content-type"))
        found = TYPE.match(value)
        if found:
            return b"/".join(found.groups()).decode("ascii", "replace").lower()
        if value.strip().lower().startswith(b"multipart") and self.parameter("boundary"):
            return "multipart/mixed"
        return "text/plain" if value.strip() else self.default_type

    @property
    def name(self) -> str:
        """The file name of the part, or ""."""
        name = self.parameter("filename", "content-disposition") or self.parameter("name")
        return (name or one_line(self.filename))[:MAX_NAME]

    @property
    def main_type(self) -> str:
        """The media type before the slash."""
        return self.type.partition("/")[0]

    @property
    def disposition(self) -> str:
        """The disposition in lower case, such as inline or attachment, or ""."""
        value = without_comments(self.value("content-disposition"))
        return value.partition(b";")[0].strip().decode("ascii", "replace").lower()

    @property
    def encoding(self) -> str:
        """The encoding of the content: base64, quoted-printable, uuencode or ""."""
        return "" if self.plain else encoding_of(self.value("content-transfer-encoding"))

    @property
    def content_start(self) -> bytes:
        """The decoded beginning of the content, from at most 8 MB of encoded data."""
        return decoded(self._bytes(self.start, self.start + MAX_ENCODED), self.encoding)

    @property
    def content_size(self) -> int:
        """The size of the decoded content in bytes."""
        if self.size is not None:
            return self.size
        return decoded_size(memoryview(self.data)[self.start : self.end], self.encoding)

    @property
    def text_content(self) -> bytes:
        """The decoded content of a text, or the beginning and the end of a long text.

        Only the beginning of a long base64 text is returned. Embedded pictures are removed from a
        long HTML page.
        """
        start, end = self.start, self.end
        data = self._bytes(start, start + self._max_text)
        if self.is_long and self.encoding != "base64":
            data += b"\n\n" + self._bytes(max(start + self._max_text, end - MAX_TEXT // 4), end)
        if not self.plain:
            wide = codec_of(self.parameter("charset")) in WIDE
            data = decoded_text(data, self.encoding, wide=wide)
        if len(data) <= MAX_TEXT:
            return data
        return PICTURE.sub(b"data:,", data)[: 4 * MAX_TEXT]  # up to four bytes per character

    @property
    def is_absent(self) -> bool:
        """Whether the content was not fetched."""
        return bool(self.size) and self.start == self.end

    @property
    def is_long(self) -> bool:
        """Whether ``text_content`` contains only part of the text."""
        return self.end - self.start > self._max_text

    @property
    def _max_text(self) -> int:
        return MAX_PAGE if self.type == "text/html" else MAX_TEXT

    def _bytes(self, start: int, end: int) -> bytes:
        return bytes(memoryview(self.data)[start : min(end, self.end)])


def parse(raw: Buffer) -> MailPart:
    """Parse an email. Parsing never fails, because lines that are not headers are read as text.

    >>> parse(b"Subject: hello\\r\\n\\r\\nyou").content_start
    b'you'
    """
    blank = BLANK_LINES.match(raw)
    start = blank.end() if blank and KNOWN_FIELD.match(raw, blank.end()) else 0
    return _Parser().part(raw, start, len(raw), "text/plain", 0)


def parse_headers(raw: Buffer) -> MailPart:
    """Parse only the headers of an email.

    >>> parse_headers(b"Subject: hello\\r\\n\\r\\nyou").content_start
    b''
    """
    return MailPart(_header_block(raw, 0, min(len(raw), MAX_HEADERS_BYTES))[0])


def mail_in(part: MailPart) -> MailPart:
    """Parse the email in a part of type message/rfc822, even if the part is encoded."""
    if part.parts:
        return part.parts[0]
    if part.encoding:
        return parse(part.content_start)
    return _Parser().part(part.data, part.start, part.end, "text/plain", 0)


@dataclass
class _Parser:
    """Parses one email, and counts the work done so far in order to limit it."""

    parts: int = 0
    searched: int = 0

    def part(self, data: Buffer, start: int, end: int, default_type: str, depth: int) -> MailPart:
        self.parts += 1
        headers, body = _header_block(data, start, end)
        part = MailPart(headers, data, body, end, default_type)
        if part.main_type == "multipart":
            self._divide(part, depth)
        return part

    def _divide(self, part: MailPart, depth: int) -> None:
        if depth >= MAX_DEPTH or self.searched + part.end - part.start > MAX_SEARCHED:
            part.cut = True
            return
        ranges = list(self._ranges(part))
        if not ranges and part.encoding:  # a multipart must not be encoded
            part.cut = part.end - part.start > MAX_ENCODED
            part.data = part.content_start
            part.start = 0
            part.end = len(part.data)
            part.plain = True
            ranges = list(self._ranges(part))
        inner = "message/rfc822" if part.type == "multipart/digest" else "text/plain"
        for start, end in ranges:
            if self.parts >= MAX_PARTS:
                part.cut = True
                return
            part.parts.append(self.part(part.data, start, end, inner, depth + 1))

    def _ranges(self, part: MailPart) -> Iterator[tuple[int, int]]:
        """Yield the start and the end of each part."""
        self.searched += part.end - part.start
        boundary = as_bytes(part.parameter("boundary"))
        lines = _boundary_lines(part, boundary) if boundary else []
        if not lines and (likely := LIKELY_BOUNDARY.search(part.data, part.start, part.end)):
            lines = _boundary_lines(part, likely[1])
        for at, (begin, start, closing) in enumerate(lines):
            if closing:
                part.end = part.end if at else begin  # no parts
                return
            end = lines[at + 1][0] if at + 1 < len(lines) else part.end
            yield start, max(start, end)


def _boundary_lines(part: MailPart, boundary: bytes) -> list[tuple[int, int, bool]]:
    """Return the lines that contain the boundary, up to one more than the maximum number of parts.

    Each line is given as its start, its end, and whether it is the closing boundary. The start
    includes the line end before the line.
    """
    return list(itertools.islice(_marks(part, boundary), MAX_PARTS + 1))


def _marks(part: MailPart, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
    mark = b"--" + boundary
    data = part.data
    at = data.find(mark, part.start, part.end)
    while at >= 0:
        rest = END_OF_BOUNDARY.match(data, at + len(mark), part.end)
        if rest and (at == part.start or data[at - 1] in b"\r\n"):
            before = at - 1 if at > part.start else at
            if before > part.start and data[before - 1 : before + 1] == b"\r\n":
                before -= 1
            yield before, rest.end(), bool(rest[1])
        at = data.find(mark, at + len(mark), part.end)


def _header_block(data: Buffer, start: int, end: int) -> tuple[Headers, int]:
    """Return the headers up to the first empty line, and the offset at which the content begins.

    A line that is not a header is skipped if a known header follows. Otherwise, the content begins
    with that line.
    """
    lines, body = _lines(data, start, end)
    last = max((at for at, (_, line) in enumerate(lines) if KNOWN_FIELD.match(line)), default=-1)
    found: dict[str, list[list[bytes]]] = {}
    folds: list[bytes] = []
    for at, (place, line) in enumerate(lines):
        named = FIELD.match(line)
        if line[:1] in (b" ", b"\t") and (found or at < last):
            folds.append(line)
        elif named:
            folds = [line[named.end() :]]
            values = found.setdefault(named[1].decode("latin-1").lower(), [])
            if len(values) < MAX_HEADERS_OF_A_NAME:
                values.append(folds)
        elif at > last:
            body = place
            break
        else:
            folds = []
    headers = {
        name: [_cut(name, b"\r\n".join(folds)) for folds in values]
        for name, values in found.items()
    }
    return headers, body


def _lines(data: Buffer, start: int, end: int) -> tuple[list[tuple[int, bytes]], int]:
    """Return the lines before the first empty line, with offsets, and the end of the block."""
    lines: list[tuple[int, bytes]] = []
    at = start
    while at < end and at - start < MAX_HEADERS_BYTES:
        found = LINE.match(data, at, end)
        if found is None or not found[1]:
            return lines, found.end() if found else at
        if not found[1].strip():  # a blank continuation line, or meant as an empty line
            following = LINE.match(data, found.end(), end)
            text = following[1] if following else b""
            if text[:1] not in (b" ", b"\t") and not KNOWN_FIELD.match(text):
                return lines, found.end()
        lines.append((at, bytes(data[at : min(found.end(1), at + MAX_HEADERS_BYTES)])))
        at = found.end()
    return lines, at


def _cut(name: str, value: bytes) -> bytes:
    if name.startswith("content-"):
        return b";".join(value[:MAX_CONTENT_HEADER].split(b";")[:MAX_PARAMETERS])
    return value[:MAX_HEADER]
