"""A mail's bytes to its parts: the standard library's parser, kept from what would take it too long."""

from __future__ import annotations

import re
from email import message_from_bytes
from email._policybase import Compat32
from email.message import Message as Part
from typing import Final

from eventlab.mailroom.mail.header import LONGEST

#: Bytes of a mail that are parsed; of a longer one only the headers are read.
LARGEST: Final = 5 * 1024 * 1024
LONGEST_HEADERS: Final = 256 * 1024
LONGEST_CONTENT: Final = 2 * 1024
MOST_PARAMETERS: Final = 40
MOST_LINES: Final = 150_000
MOST_WORK: Final = 5_000_000
END_OF_HEADERS: Final = re.compile(rb"\r?\n\r?\n|\r\r")


class TooMuch(ValueError):
    """The mail is larger, or more of a labyrinth, than any that a person sent."""


class Guarded(Compat32):
    """The parser's old policy, which never raises for a header, with short headers and their bytes as they came."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Cut the header: the library takes a time that grows with the square of a content header's length."""
        name, value = super().header_source_parse(sourcelines)
        if name.lower().startswith("content-"):
            return name, ";".join(value[:LONGEST_CONTENT].split(";")[:MOST_PARAMETERS])
        return name, value[:LONGEST]

    def header_fetch_parse(self, name: str, value: str) -> str:  # noqa: ARG002 - the library's words
        """Leave the header's bytes alone: what they mean is for ``header.words``."""
        return value


def parse(raw: bytes) -> Part:
    """Parse a mail; raises TooMuch, and RecursionError for mails in mails in mails.

    >>> parse(b"Subject: hello\\r\\n\\r\\nyou").get_payload()
    'you'
    """
    if len(raw) > LARGEST:
        raise TooMuch(f"it has {len(raw)} bytes, and up to {LARGEST} are read")
    lines = max(raw.count(b"\n"), raw.count(b"\r"))
    if lines > MOST_LINES:
        raise TooMuch(f"it has {lines} lines, and up to {MOST_LINES} are read")
    # Each line is compared with the boundary of each multipart that it may stand in.
    boundaries = len(re.findall(rb"boundary\s*=", raw, re.IGNORECASE))
    if lines * boundaries > MOST_WORK:
        raise TooMuch(f"it has {lines} lines and {boundaries} boundaries that may end at each")
    return message_from_bytes(raw, policy=Guarded())


def parse_headers(raw: bytes) -> Part:
    """Parse a mail's headers, and nothing else of it.

    >>> parse_headers(b"Subject: hello\\r\\n\\r\\nyou").get_payload()
    ''
    """
    start = raw[:LONGEST_HEADERS]
    end = END_OF_HEADERS.search(start)
    return message_from_bytes(start[: end.start()] if end else start, policy=Guarded())
