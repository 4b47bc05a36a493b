"""Decodes the content of a part by its transfer encoding, even if the header is wrong."""

from __future__ import annotations

import binascii
import itertools
import re
from collections.abc import Iterator
from typing import Final

#: The tokens of a header with comments.
TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|\\.|[()]|[^"\\()]+|.', re.DOTALL)
NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/=]+")
NO_DIGITS: Final = bytes(n for n in range(256) if not re.match(rb"[A-Za-z0-9+/]", bytes((n,))))
#: A line of base64, and a line of base64 with a few damaged characters.
WHOLE_LINE: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}[ \t]*")
DAMAGED_LINE: Final = re.compile(rb".*[A-Za-z0-9+/]{24}")
TRAILING_BLANKS: Final = re.compile(rb"(?<![ \t])[ \t]+(?=\r?\n|\Z)")
CONTROL: Final = bytes(n for n in range(32) if n not in b"\t\n\f\r\x1b")
LINE: Final = re.compile(rb"[^\r\n]+")
MIN_LINE: Final = 16
MIN_UNDECLARED: Final = 40
MAX_PADDINGS: Final = 1000
CHUNK: Final = 1024 * 1024


def without_comments(value: bytes) -> bytes:
    """Return a header's value without its comments; an unclosed comment is kept.

    >>> without_comments(b'base64 (a (nested) comment)')
    b'base64 '
    """
    kept: list[bytes] = []
    depth = 0
    start = 0
    for token in TOKEN.findall(value):
        if token == b"(":
            start = start if depth else len(kept)
            depth += 1
        kept.append(token)
        if token == b")" and depth:
            depth -= 1
            if not depth:
                del kept[start:]
    return b"".join(kept)


def encoding_of(value: bytes) -> str:
    """Return the encoding that a header declares: base64, quoted-printable, uuencode or "".

    >>> encoding_of(b' "BASE64"; ')
    'base64'
    """
    plain = re.sub(rb"[^a-z0-9]", b"", without_comments(value).partition(b";")[0].lower())
    if plain == b"base64":
        return "base64"
    if plain == b"quotedprintable":
        return "quoted-printable"
    return "uuencode" if plain in (b"xuuencode", b"uuencode", b"xuue", b"uue") else ""


def decoded(data: bytes, encoding: str) -> bytes:
    """Return the decoded content of a part; truncated base64 is decoded as far as possible.

    >>> decoded(b"caf=C3=A9", "quoted-printable").decode()
    'café'
    """
    if encoding == "base64":
        return base64_of(data)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(TRAILING_BLANKS.sub(b"", data))
    return b"".join(_uudecoded(data)) if encoding == "uuencode" else data


def decoded_text(data: bytes, encoding: str, *, wide: bool = False) -> bytes:
    """Decode a text part, even if it contains unencoded text or does not declare its base64.

    In declared base64, lines before and after the encoded block are kept unchanged. If ``wide``
    is True, the charset has two or four bytes for each character.

    >>> decoded_text(b"aGVsbG8gd29ybGQhIQ==\\n____\\nA list", "base64")
    b'hello world!!\\n____\\nA list'
    """
    if encoding == "base64":
        return base64_of(data) if wide else _base64_text(data)
    return _undeclared(data) if not encoding else decoded(data, encoding)


def is_utf_8(content: bytes) -> bool:
    """Return whether bytes are valid UTF-8; text in another charset almost never is.

    >>> is_utf_8("café".encode()), is_utf_8(b"caf\\xe9")
    (True, False)
    """
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def decoded_size(data: memoryview, encoding: str) -> int:
    """Return the size of the decoded content; for base64, count characters without decoding."""
    if encoding == "uuencode":
        return sum(len(piece) for piece in _uudecoded(data))
    if encoding == "quoted-printable":
        return sum(len(binascii.a2b_qp(line)) for line in _chunks(data))
    if not encoding:
        return len(data)
    digits = 0
    paddings = 0
    size = 0
    for start in range(0, len(data), CHUNK):
        *ended, rest = bytes(data[start : start + CHUNK]).split(b"=", MAX_PADDINGS)
        paddings += len(ended)
        for piece in ended:
            size += (digits + len(piece.translate(None, NO_DIGITS))) * 3 // 4
            digits = 0
        digits += len(rest.translate(None, NO_DIGITS))
    return size + digits * 3 // 4


def _chunks(data: memoryview) -> Iterator[bytes]:
    """Yield chunks of whole lines."""
    start = 0
    while start < len(data):
        chunk = bytes(data[start : start + CHUNK])
        end = chunk.rfind(b"\n") + 1
        yield chunk[: end or len(chunk)]
        start += end or len(chunk)


def base64_of(text: bytes) -> bytes:
    """Decode base64, even if it contains other characters, is in several pieces, or is truncated.

    >>> base64_of(b"aGVs bG8=d29ybGQ"), base64_of(b"aGVsbG8gd29ybGQhI")
    (b'helloworld', b'hello world!')
    """
    pieces = [piece for piece in NOT_BASE64.sub(b"", text).split(b"=") if piece]
    return b"".join(_piece(piece) for piece in pieces)


def _piece(piece: bytes) -> bytes:
    whole = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def _base64_text(data: bytes) -> bytes:
    lines = data.splitlines()
    solid = [
        at
        for at, line in enumerate(lines)
        if (WHOLE_LINE.fullmatch(line) or DAMAGED_LINE.match(line)) and len(line) >= MIN_LINE
    ]
    if not solid:  # short, or no base64 at all
        content = base64_of(data)
        foreign = NOT_BASE64.search(b"".join(data.split())) or b" " in data.strip()
        return content if _is_text(content, strictly=bool(foreign)) else data
    first = solid[0]
    # The last line of base64 is short.
    after = itertools.takewhile(WHOLE_LINE.fullmatch, lines[solid[-1] + 1 : solid[-1] + 2])
    last = solid[-1] + len(list(after))
    content = base64_of(b"".join(lines[first : last + 1]))
    if last > solid[-1] and not is_utf_8(content):
        shorter = base64_of(b"".join(lines[first:last]))
        if is_utf_8(shorter):  # so the short line belongs to a footer
            content = shorter
            last -= 1
    before = b"\n".join(lines[:first]).strip()
    footer = b"\n".join(lines[last + 1 :]).strip()
    if not _is_text(content, strictly=False):
        return data
    return b"\n".join(piece for piece in (before, content.rstrip(b"\r\n"), footer) if piece)


def _undeclared(data: bytes) -> bytes:
    """Decode a text that is one block of base64 although its header does not declare it."""
    if NOT_BASE64.search(data[:CHUNK].strip().replace(b"\r", b"").replace(b"\n", b"")):
        return data  # true for nearly all texts: a long text need not be split
    lines = data.split()
    whole = b"".join(lines)
    if len(whole) < MIN_UNDECLARED or len(whole) % 4 or not WHOLE_LINE.fullmatch(whole):
        return data
    if len({len(line) for line in lines[:-1]}) > 1 or len(lines[-1]) > len(lines[0]):
        return data
    content = base64_of(whole)
    return content if _is_text(content, strictly=True) and len(content.split()) > 1 else data


def _is_text(content: bytes, *, strictly: bool) -> bool:
    """Return whether decoded bytes can be text; random bytes have many control characters."""
    controls = len(content) - len(content.translate(None, CONTROL))
    return controls * 20 <= len(content) and (not strictly or is_utf_8(content))


def _uudecoded(data: bytes | memoryview) -> Iterator[bytes]:
    inside = False
    for found in LINE.finditer(data):
        line = found[0]
        if not inside:
            inside = line.startswith(b"begin ")
        elif line == b"end":
            return
        else:
            length = (((line[0] - 32) & 63) * 4 + 5) // 3  # some programs add too much padding
            try:
                yield binascii.a2b_uu(line[: max(length, 1)])
            except binascii.Error:
                return
