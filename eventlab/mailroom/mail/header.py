"""The headers of a mail: any bytes decoded into words."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

from eventlab.mailroom.mail.charset import decode, one_line

#: In characters. Longer headers are cut before anything else is done with them.
MAX_HEADER: Final = 32 * 1024
#: RFC 2047: charset, B or Q, and the text. White space between two of them is dropped.
WORD: Final = re.compile(
    rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=(?:\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=))?"
)
NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/=]+")


def as_bytes(value: object, *, max_length: int | None = MAX_HEADER) -> bytes:
    r"""Return a header's value as the bytes it was received in, cut to ``max_length`` characters.

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

    ``hint`` is the charset of bytes that declare none.

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
        # A character may be split at the end of a word, so words of one charset are decoded
        # together.
        if waiting and (between or found[1].lower() != charset):
            yield decode(waiting, charset.decode("ascii", "replace"))
            waiting = b""
        yield decode(between, hint)
        charset = found[1].partition(b"*")[0].lower()  # RFC 2231 lets a language follow
        waiting += _unquoted(found[3]) if found[2] in b"qQ" else base64_of(found[3])
        done = found.end()
    if waiting:
        yield decode(waiting, charset.decode("ascii", "replace"))
    yield decode(value[done:], hint)


def _unquoted(text: bytes) -> bytes:
    return binascii.a2b_qp(text.replace(b" ", b"_"), header=True)


def base64_of(text: bytes) -> bytes:
    """Decode any base64: with foreign characters in it, in several pieces, or truncated.

    >>> base64_of(b"aGVs bG8=d29ybGQ"), base64_of(b"aGVsbG8gd29ybGQhI")
    (b'helloworld', b'hello world!')
    """
    pieces = [piece for piece in NOT_BASE64.sub(b"", text).split(b"=") if piece]
    return b"".join(_piece(piece) for piece in pieces)


def _piece(piece: bytes) -> bytes:
    whole = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
