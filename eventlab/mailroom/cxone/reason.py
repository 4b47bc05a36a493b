"""Extracts the reason from an error response, as one short line that is safe to log."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

import msgspec

HEADER: Final = "icStatusDescription"
ERROR_FIELDS: Final = ("error_description", "errorDescription", "error", "message")
MAX_REASON_CHARS: Final = 200
MAX_SCANNED_CHARS: Final = 2000
#: If at least this many consecutive characters also occur in what was sent, hide them.
MIN_ECHO_CHARS: Final = 10
_JWT = re.compile(r"eyJ[\w-]+(?:\.[\w-]*)*")  # any token, even another client's
#: Unlike str.lower, this table keeps the length of the text.
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def reason_in(headers: Mapping[str, str], body: bytes, *, sent: Iterable[str] = ()) -> str:
    """Return the reason in a response, from CXone's own header or else from the JSON error.

    The result has at most 200 characters and no control characters. Every piece of ``sent``
    (tokens, secrets, the payload, an address) that the server echoed is replaced by ``…``.

    >>> reason_in({"icStatusDescription": "Not valid: joe"}, b"", sent=["joe"])
    'Not valid: …'
    """
    text = printable_line(_utf8(headers.get(HEADER, ""))) or printable_line(_json_reason(body))
    shown = _hide(text[:MAX_SCANNED_CHARS], sent)
    return shown if len(shown) <= MAX_REASON_CHARS else shown[: MAX_REASON_CHARS - 1] + "…"


def printable_line(text: str) -> str:
    """Return text on one line: each run of spaces and unprintable characters becomes one space.

    >>> printable_line("no" + chr(13) + chr(10) + "way" + chr(27) + "[31m")
    'no way [31m'
    """
    return " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text).split())


def _utf8(header: str) -> str:
    # http.client decodes headers as Latin-1, whatever their actual encoding is.
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def _json_reason(body: bytes) -> str:
    try:
        error = msgspec.json.decode(body[: 16 * MAX_SCANNED_CHARS])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    found = (error.get(name) for name in ERROR_FIELDS) if isinstance(error, dict) else ()
    return next((value for value in found if isinstance(value, str) and value.strip()), "")


def _hide(text: str, sent: Iterable[str]) -> str:
    lower = text.translate(_LOWER)
    hidden = bytearray(len(text))
    for secret in sent:
        for form in {
            printable_line(secret),
            printable_line(json.dumps(secret)),
            quote(secret.encode("utf-8", "replace")),
        }:
            needle = form.translate(_LOWER)
            size = min(MIN_ECHO_CHARS, len(needle))
            for at in range(len(lower) - size + 1 if size else 0):
                if lower[at : at + size] in needle:
                    hidden[at : at + size] = b"\1" * size
    for found in _JWT.finditer(text):
        hidden[found.start() : found.end()] = b"\1" * (found.end() - found.start())
    marked = "".join("\0" if hide else c for c, hide in zip(text, hidden, strict=True))
    return re.sub("\0+", "…", marked)
