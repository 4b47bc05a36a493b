"""The headers of a mail: any bytes decoded into words and addresses."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eventlab.mailroom.mail.charset import decode, one_line

#: In characters. Longer headers are cut before anything else is done with them.
MAX_HEADER: Final = 32 * 1024
MAX_ADDRESS: Final = 320
#: RFC 2047: charset, B or Q, and the text. White space between two of them is dropped.
WORD: Final = re.compile(
    rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=(?:\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=))?"
)
NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/=]+")
#: The tokens of an address list; an unclosed quote or bracket is an ordinary character. Encoded
#: words are one token, because some programs leave a comma or a colon in them.
TOKEN: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"|\\.|\[[^\[\]]*\]'
    r'|=\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=|[()<>,;:]|[^"\\()<>,;:\[=]+|.',
    re.DOTALL,
)
GAP_AT_DOT: Final = re.compile(r"\s*\.\s*")
ROUTE: Final = re.compile(r"^(?:@[^:,@]*,?)+:")


@dataclass(frozen=True)
class Address:
    """A name and an address. Each may be empty."""

    name: str
    address: str


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


def addresses(value: bytes, hint: str | None = None) -> list[Address]:
    """Return the names and addresses of a header; groups are flattened, comments become names.

    >>> addresses(b'"Doe, Joe" <joe+tag@example.com>')
    [Address(name='Doe, Joe', address='joe+tag@example.com')]
    """
    found = list(_mailboxes(value, hint))
    # Some programs encode the whole header, including the address.
    if not any(one.address for one in found) and WORD.search(value):
        plain = list(_mailboxes(words(value, hint).encode(), hint))
        return plain if any(one.address for one in plain) else found
    return found


def _mailboxes(value: bytes, hint: str | None) -> Iterator[Address]:
    name: list[str] = []
    inside: list[str] = []
    comment: list[str] = []
    depth = 0
    bracket = False
    closed = False
    for token in [*TOKEN.findall(value.decode("ascii", "surrogateescape")), ","]:
        if depth or (token == "(" and not bracket):
            depth += {"(": 1, ")": -1}.get(token, 0)
            comment.append(token)
        elif token == "<" and not bracket:
            bracket = True
            inside = []
        elif token == ">":
            bracket = False
            closed = True
        elif bracket and token not in (",", ";"):
            inside.append(token)
        elif token == ":" and not closed:
            name = []  # the name of a group
        elif token in (",", ";") and not (bracket and inside and inside[0].startswith("@")):
            yield from _mailbox(name, inside if bracket or closed else None, comment, hint)
            name = []
            inside = []
            comment = []
            bracket = False
            closed = False
        else:
            (inside if bracket else name).append(token)
    if comment:  # unclosed, so it includes the last comma, which is ours
        yield from _mailbox(name, inside if bracket or closed else None, comment[:-1], hint)


def _mailbox(
    name: list[str], inside: list[str] | None, comment: list[str], hint: str | None
) -> Iterator[Address]:
    if inside is None:  # no brackets: all of it is the address
        note = _text(comment, hint).removeprefix("(").removesuffix(")")
        address = _address("".join(name))
        if address or note or "".join(name).strip():
            yield Address(note if address else _text(name, hint) or note, address)
        return
    shown = _text(name, hint) or _text(comment, hint).removeprefix("(").removesuffix(")")
    yield Address(shown, _address(ROUTE.sub("", "".join(inside))))


def _text(tokens: list[str], hint: str | None) -> str:
    plain = "".join(_plain(token) for token in tokens)
    return words(as_bytes(plain), hint)


def _plain(token: str) -> str:
    """Remove quotes and the backslashes in them."""
    if len(token) > 1 and token[0] == '"':
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
    return token[1:] if len(token) == 2 and token[0] == "\\" else token


def _address(text: str) -> str:
    """Return the address without white space, or "" if it is not one."""
    plain = one_line(decode(as_bytes(text)))
    local, _at, domain = plain.rpartition("@")
    if '"' not in local:  # spaces at dots used to be allowed; before any other space is a name
        local = "".join(GAP_AT_DOT.sub(".", local).split()[-1:])
    local = local.strip()
    domain = "".join(domain.split())
    good = local and local != '""' and re.fullmatch(r"[\w.-]+|\[[\w.:]+\]", domain)
    address = f"{local}@{domain}"
    return address if good and len(address) <= MAX_ADDRESS else ""
