"""Headers of a mail: bytes of any kind to words, and to addresses."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eventlab.mailroom.mail.charset import decode, one_line

#: Longer ones are cut before anything else is done with them.
LONGEST: Final = 32 * 1024
LONGEST_ADDRESS: Final = 320
#: RFC 2047: charset, B or Q, and the text. A gap between two of them is not part of it.
WORD: Final = re.compile(
    rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=(?:\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=))?"
)
NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/=]+")
#: What an address list is made of; a quote or bracket that is not closed is taken as it is. Encoded words come whole:
#: some programs leave a comma or a colon in them.
TOKEN: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"|\\.|\[[^\[\]]*\]|=\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=|[()<>,;:]|[^"\\()<>,;:\[=]+|.',
    re.DOTALL,
)
GAP_AT_DOT: Final = re.compile(r"\s*\.\s*")
ROUTE: Final = re.compile(r"^(?:@[^:,@]*,?)+:")


@dataclass(frozen=True)
class Address:
    """A name and an address; each may be empty.

    Example: ``Address("Joe Doe", "joe+tag@example.com")``
    """

    name: str
    address: str


def as_bytes(value: object, *, longest: int | None = LONGEST) -> bytes:
    r"""Give a header's value as the bytes it came in, cut to the longest there may be.

    >>> as_bytes("caf\udce9")
    b'caf\xe9'
    """
    text = str(value)[:longest]
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # another half of a character, from JSON
        return text.encode("utf-8", "replace")


def words(value: bytes, hint: str | None = None) -> str:
    """Give a header's value as one line of text; ``hint`` is the charset of bytes that say none.

    >>> words(b"=?utf-8?q?caf=C3=A9?= =?utf-8?b?IQ==?= today")
    'café! today'
    """
    return one_line("".join(_pieces(value, hint)))


def _pieces(value: bytes, hint: str | None) -> Iterator[str]:
    done, waiting, charset = 0, b"", b""
    for found in WORD.finditer(value):
        between = value[done : found.start()]
        # A character may be cut in two at the end of a word: words of one charset are decoded together.
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
    """Decode base64 of any kind: with foreign characters in it, in several pieces, or cut off.

    >>> base64_of(b"aGVs bG8=d29ybGQ"), base64_of(b"aGVsbG8gd29ybGQhI")
    (b'helloworld', b'hello world!')
    """
    pieces = [piece for piece in NOT_BASE64.sub(b"", text).split(b"=") if piece]
    return b"".join(_piece(piece) for piece in pieces)


def _piece(piece: bytes) -> bytes:
    whole = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def addresses(value: bytes, hint: str | None = None) -> list[Address]:
    """Give the names and addresses of a header; groups are opened, comments become names.

    >>> addresses(b'"Doe, Joe" <joe+tag@example.com>, team: ann@example.org;')
    [Address(name='Doe, Joe', address='joe+tag@example.com'), Address(name='', address='ann@example.org')]
    """
    found = list(_mailboxes(value, hint))
    # Some programs encode the whole header, address and all.
    if not any(one.address for one in found) and WORD.search(value):
        plain = list(_mailboxes(words(value, hint).encode(), hint))
        return plain if any(one.address for one in plain) else found
    return found


def _mailboxes(value: bytes, hint: str | None) -> Iterator[Address]:
    name: list[str] = []
    inside: list[str] = []
    comment: list[str] = []
    depth, bracket, closed = 0, False, False
    for token in [*TOKEN.findall(value.decode("ascii", "surrogateescape")), ","]:
        if depth or (token == "(" and not bracket):
            depth += {"(": 1, ")": -1}.get(token, 0)
            comment.append(token)
        elif token == "<" and not bracket:
            bracket, inside = True, []
        elif token == ">":
            bracket, closed = False, True
        elif bracket and token not in (",", ";"):
            inside.append(token)
        elif token == ":" and not closed:
            name = []  # the name of a group
        elif token in (",", ";") and not (bracket and inside and inside[0].startswith("@")):
            yield from _mailbox(name, inside if bracket or closed else None, comment, hint)
            name, inside, comment, bracket, closed = [], [], [], False, False
        else:
            (inside if bracket else name).append(token)
    if comment:  # it does not end, and has the last comma in it, which is ours
        yield from _mailbox(name, inside if bracket or closed else None, comment[:-1], hint)


def _mailbox(
    name: list[str], inside: list[str] | None, comment: list[str], hint: str | None
) -> Iterator[Address]:
    if inside is None:  # no brackets: all of it is the address
        said = _text(comment, hint).removeprefix("(").removesuffix(")")
        address = _address("".join(name))
        if address or said or "".join(name).strip():
            yield Address(said if address else _text(name, hint) or said, address)
        return
    shown = _text(name, hint) or _text(comment, hint).removeprefix("(").removesuffix(")")
    yield Address(shown, _address(ROUTE.sub("", "".join(inside))))


def _text(tokens: list[str], hint: str | None) -> str:
    plain = "".join(_plain(token) for token in tokens)
    return words(as_bytes(plain), hint)


def _plain(token: str) -> str:
    """Take off quotes and the backslashes in them."""
    if len(token) > 1 and token[0] == '"':
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
    return token[1:] if len(token) == 2 and token[0] == "\\" else token


def _address(text: str) -> str:
    """Give what is an address, without gaps; else nothing."""
    plain = one_line(decode(as_bytes(text)))
    local, _at, domain = plain.rpartition("@")
    if '"' not in local:  # gaps at dots were allowed once; what stands before another gap is a name
        local = "".join(GAP_AT_DOT.sub(".", local).split()[-1:])
    local = local.strip()
    domain = "".join(domain.split())
    good = local and local != '""' and re.fullmatch(r"[\w.-]+|\[[\w.:]+\]", domain)
    address = f"{local}@{domain}"
    return address if good and len(address) <= LONGEST_ADDRESS else ""
