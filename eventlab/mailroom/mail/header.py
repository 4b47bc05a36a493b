"""Decodes the headers of an email, whatever bytes they contain, into text."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

from eventlab.mailroom.mail.charset import decode, one_line
from eventlab.mailroom.mail.encoding import NOT_BASE64, base64_of, is_utf_8

#: In characters. Longer headers are cut before they are processed.
MAX_HEADER: Final = 32 * 1024
#: An encoded word (RFC 2047): charset, B or Q, and the text. White space between two encoded words
#: is dropped.
WORD: Final = re.compile(
    rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=(?:\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=))?"
)


def as_bytes(value: object, *, max_length: int | None = MAX_HEADER) -> bytes:
    r"""Return the original bytes of a header's value, cut to ``max_length`` characters.

    >>> as_bytes("caf\udce9")
    b'caf\xe9'
    """
    text = str(value)[:max_length]
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # another lone surrogate, from JSON
        return text.encode("utf-8", "replace")


def words(value: bytes, hint: str | None = None) -> str:
    """Return a header's value as one line of text.

    ``hint`` is the charset to assume for bytes without a declared charset.

    >>> words(b"=?utf-8?q?caf=C3=A9?= =?utf-8?b?IQ==?= today")
    'café! today'
    """
    return one_line("".join(_pieces(value, hint)))


def _pieces(value: bytes, hint: str | None) -> Iterator[str]:
    done = 0
    waiting = b""
    charset = b""
    for found in WORD.finditer(value):
        between = value[done : found.start()]
        # A character may be split at the end of an encoded word, so consecutive encoded words in
        # one charset are decoded together.
        if waiting and (between or found[1].lower() != charset):
            yield decode(waiting, charset.decode("ascii", "replace"))
            waiting = b""
        yield decode(between, hint)
        charset = found[1].partition(b"*")[0].lower()  # RFC 2231: a language may follow
        waiting += _unquoted(found[3]) if found[2] in b"qQ" else _of_base64(found[3])
        done = found.end()
    if waiting:
        yield decode(waiting, charset.decode("ascii", "replace"))
    yield decode(value[done:], hint)


def _unquoted(text: bytes) -> bytes:
    return binascii.a2b_qp(text.replace(b" ", b"_"), header=True)


def _of_base64(text: bytes) -> bytes:
    """Decode the base64 text of an encoded word; some programs leave it unencoded."""
    if not text.isascii():
        return text
    content = base64_of(text)
    return content if is_utf_8(content) or not NOT_BASE64.search(text.strip()) else text
