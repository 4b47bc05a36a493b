"""The reason in a refusal, fit for a log: short, on one line, without anything that was sent."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

import msgspec

HEADER: Final = "icStatusDescription"
FIELDS: Final = ("error_description", "errorDescription", "error", "message")
LONGEST, LOOKED_AT = 200, 2000
PIECE: Final = 10  # so many characters in a row that were sent too are no chance
_JWT = re.compile(r"eyJ[\w-]+(?:\.[\w-]*)*")  # any token, also one that is not known here
_LOWER = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
)  # one to one, unlike str.lower


def reason_in(headers: Mapping[str, str], body: bytes, *, sent: Iterable[str] = ()) -> str:
    """Give the reason that an answer tells: CXone's own header first, then the fields of an error in JSON.

    Control characters are gone, it is at most 200 characters long, and every piece of ``sent`` (tokens, secrets, the
    payload, an address) that a server may have repeated is replaced by ``…``.

    >>> reason_in({"icStatusDescription": "Not valid: joe@example.com"}, b"", sent=["joe@example.com"])
    'Not valid: …'
    """
    text = (printable_line(_utf8(headers.get(HEADER, ""))) or printable_line(_field(body)))[
        :LOOKED_AT
    ]
    shown = _hide(text, sent)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def printable_line(text: str) -> str:
    """Put a text on one line: whatever is no printable character is a space, and spaces are one.

    >>> printable_line("no" + chr(13) + chr(10) + "way" + chr(27) + "[31m")
    'no way [31m'
    """
    return " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text).split())


def _utf8(header: str) -> str:
    # http.client reads headers as latin-1, whatever was meant.
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def _field(body: bytes) -> str:
    try:
        answer = msgspec.json.decode(body[: 16 * LOOKED_AT])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    found = (answer.get(name) for name in FIELDS) if isinstance(answer, dict) else ()
    return next((one for one in found if isinstance(one, str) and one.strip()), "")


def _hide(text: str, sent: Iterable[str]) -> str:
    low, hidden = text.translate(_LOWER), bytearray(len(text))
    for one in sent:
        for form in {
            printable_line(one),
            printable_line(json.dumps(one)),
            quote(one.encode("utf-8", "replace")),
        }:
            needle = form.translate(_LOWER)
            size = min(PIECE, len(needle))
            for at in range(len(low) - size + 1 if size else 0):
                if low[at : at + size] in needle:
                    hidden[at : at + size] = b"\1" * size
    for found in _JWT.finditer(text):
        hidden[found.start() : found.end()] = b"\1" * (found.end() - found.start())
    marked = "".join("\0" if hide else c for c, hide in zip(text, hidden, strict=True))
    return re.sub("\0+", "…", marked)
