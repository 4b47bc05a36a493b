"""A mail's bytes parsed into parts, by the standard library's parser with limits on its time."""

from __future__ import annotations

import re
from email import message_from_bytes
from email._policybase import Compat32
from email.message import Message as Part
from typing import Final

from eventlab.mailroom.mail.header import MAX_HEADER

#: In bytes. Of a larger mail, only the headers are parsed.
MAX_MAIL_BYTES: Final = 5 * 1024 * 1024
MAX_HEADERS_BYTES: Final = 256 * 1024
MAX_CONTENT_HEADER: Final = 2 * 1024
MAX_PARAMETERS: Final = 40
MAX_LINES: Final = 150_000
MAX_COMPARISONS: Final = 5_000_000
END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n|\r\r")


class TooMuch(ValueError):
    """The mail is larger or more convoluted than any that a person sends."""


class Guarded(Compat32):
    """The parser's legacy policy, which never raises, with shortened headers and raw bytes."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Shorten the header: the library's time is quadratic in the length of a content header."""
        name, value = super().header_source_parse(sourcelines)
        if name.lower().startswith("content-"):
            return name, ";".join(value[:MAX_CONTENT_HEADER].split(";")[:MAX_PARAMETERS])
        return name, value[:MAX_HEADER]

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002
        """Return the header's bytes unchanged: ``header.words`` decodes them."""
        return value


def parse(raw: bytes) -> Part:
    """Parse a mail. Raises TooMuch, and RecursionError for mails nested too deeply.

    >>> parse(b"Subject: hello\\r\\n\\r\\nyou").get_payload()
    'you'
    """
    if len(raw) > MAX_MAIL_BYTES:
        raise TooMuch(f"it has {len(raw)} bytes, more than {MAX_MAIL_BYTES}")
    lines = max(raw.count(b"\n"), raw.count(b"\r"))
    if lines > MAX_LINES:
        raise TooMuch(f"it has {lines} lines, more than {MAX_LINES}")
    # The parser compares each line with the boundary of each enclosing multipart.
    boundaries = len(re.findall(rb"boundary\s*=", raw, re.IGNORECASE))
    if lines * boundaries > MAX_COMPARISONS:
        raise TooMuch(f"it has {lines} lines and {boundaries} boundaries, too many to parse")
    return message_from_bytes(raw, policy=Guarded())


def parse_headers(raw: bytes) -> Part:
    """Parse only the headers of a mail.

    >>> parse_headers(b"Subject: hello\\r\\n\\r\\nyou").get_payload()
    ''
    """
    start = raw[:MAX_HEADERS_BYTES]
    end = END_OF_HEADERS.search(start)
    return message_from_bytes(start[: end.start()] if end else start, policy=Guarded())
