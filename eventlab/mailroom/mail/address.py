"""Reads the addresses in an email's headers, even malformed ones, and checks their validity."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from eventlab.mailroom.mail.charset import decode, one_line
from eventlab.mailroom.mail.header import as_bytes, words

MAX_ADDRESS: Final = 320
MAX_LOCAL_BYTES: Final = 64
MAX_DOMAIN: Final = 255
#: The tokens of an address list. An unclosed quote or bracket is an ordinary character. An encoded
#: word is one token, because some programs leave a comma or a colon in it.
TOKEN: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"|\\.|\[[^\[\]]*\]'
    r'|=\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\?=|[()<>,;:]|[^"\\()<>,;:\[=]+|.',
    re.DOTALL,
)
GAP: Final = re.compile(r"\s*([.@])\s*")
ROUTE: Final = re.compile(r"^(?:@[^:,@]*,?)+:")
MAILTO: Final = re.compile(r"^\s*mailto:|(?<=[^\s?])\?(?:subject|body|cc|bcc)=.*", re.IGNORECASE)
#: Invisible characters that web pages and chats leave in a copied address. The joiners belong to
#: the text in some scripts, except at its ends.
INVISIBLE: Final = re.compile("[\u00ad\u034f\u180e\u200b\u200e\u200f\u2060-\u2064\ufeff]")
JOINERS: Final = "\u200c\u200d"
DOMAIN: Final = re.compile(r"[^\s@<>()\[\],;:\\\"]+|\[[\w.:]+\]")
#: RFC 5322 and, for non-ASCII characters, RFC 6532.
ATOM: Final = r"(?:(?!\s)[a-zA-Z0-9!#$%&'*+/=?^_`{|}~\-\u00a1-\ud7ff\ue000-\U0010ffff])+"
LOCAL: Final = re.compile(rf"{ATOM}(?:\.{ATOM})*|\"(?:[^\"\\\x00-\x1f\x7f]|\\[\x20-\x7e])+\"")
HOST: Final = re.compile(r"(?!-)[a-zA-Z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-zA-Z0-9-]{1,63}(?<!-))*\.?")


@dataclass(frozen=True)
class Address:
    """A name and an address, each of which may be empty."""

    name: str
    address: str

    @property
    def valid(self) -> bool:
        """Whether the address is well-formed.

        >>> Address("", "joe@example.com").valid, Address("", "joe@-.example").valid
        (True, False)
        """
        local, _at, domain = self.address.rpartition("@")
        if len(local.encode("utf-8", "replace")) > MAX_LOCAL_BYTES or not LOCAL.fullmatch(local):
            return False
        return len(domain) <= MAX_DOMAIN and _host(domain)


def addresses(value: bytes, hint: str | None = None) -> list[Address]:
    """Return the names and addresses in a header; groups are flattened, and comments become names.

    >>> addresses(b'"Doe, Joe" <joe+tag@example.com>')
    [Address(name='Doe, Joe', address='joe+tag@example.com')]
    """
    found = _read(value, hint)
    if any(one.address for one in found):
        return found
    # Some programs encode the whole header, including the address. Others open a comment without
    # closing it.
    for other in (words(value, hint).encode(), value.replace(b"(", b" ").replace(b")", b" ")):
        plain = _read(other, hint) if other != value else []
        if any(one.address for one in plain):
            return plain
    return found


def _read(value: bytes, hint: str | None) -> list[Address]:
    reader = _Reader(hint)
    return list(reader.read(value.decode("ascii", "surrogateescape")))


@dataclass
class _Reader:
    """Reads one header token by token, and collects the tokens of the current mailbox."""

    hint: str | None
    name: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    comment: list[str] = field(default_factory=list)
    bracket: bool = False
    closed: bool = False

    def read(self, value: str) -> Iterator[Address]:
        depth = 0
        for token in TOKEN.findall(value):
            if depth or token == "(":
                depth += {"(": 1, ")": -1}.get(token, 0)
                if not self.bracket:
                    self.comment.append(token)
            elif token == "<":
                if self.closed and any(piece.strip() for piece in self.inside):
                    yield from self._mailbox(self.name, self.after)  # a comma is missing
                self.bracket = True
                self.inside = []
            elif token == ">":
                self.bracket = False
                self.closed = True
            elif self.bracket and token not in (",", ";"):
                self.inside.append(token)
            elif token == ":" and not self.closed and not self._is_mailto():
                self.name = []  # the name of a group
                self.comment = []
            elif token in (",", ";") and not (self.bracket and self._is_route()):
                yield from self._mailbox([*self.name, *self.after], [])
            else:
                place = self.after if self.closed else self.name
                (self.inside if self.bracket else place).append(token)
        yield from self._mailbox([*self.name, *self.after], [])

    def _is_route(self) -> bool:
        return bool(self.inside) and self.inside[0].startswith("@")

    def _is_mailto(self) -> bool:
        return "".join(self.name).strip().lower() == "mailto"

    def _mailbox(self, name: list[str], next_name: list[str]) -> Iterator[Address]:
        """Yield the mailbox from the tokens collected so far, and begin the next mailbox."""
        inside = "".join(self.inside) if self.bracket or self.closed else None
        note = _unbracketed(self._text(self.comment))
        self.name = next_name
        self.inside = []
        self.after = []
        self.comment = []
        self.bracket = False
        self.closed = False
        if inside is not None:
            yield Address(self._text(name) or note, _address(ROUTE.sub("", inside)))
            return
        # Without brackets, the whole text is one address, or several that are not separated by
        # commas.
        text = " ".join("".join(name).split())
        pieces = [] if '"' in text else GAP.sub(r"\1", text).split()
        several = [one for one in map(_address, pieces) if one]
        found = several if len(several) > 1 else [one for one in [_address(text)] if one]
        for address in found:
            yield Address(note, address)
        if not found and text.strip():
            yield Address(self._text(name) or note, "")

    def _text(self, tokens: list[str]) -> str:
        return words(as_bytes("".join(_plain(token) for token in tokens)), self.hint)


def _unbracketed(note: str) -> str:
    return note.removeprefix("(").removesuffix(")")


def _plain(token: str) -> str:
    """Return a token without its quotes and without the backslashes that escape characters."""
    if len(token) > 1 and token[0] == '"':
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
    return token[1:] if len(token) == 2 and token[0] == "\\" else token


def _address(text: str) -> str:
    """Return an address without white space, or "" if the text is not an address."""
    shown = INVISIBLE.sub("", one_line(decode(as_bytes(text))))
    plain = MAILTO.sub("", shown).strip(JOINERS)
    local, _at, domain = plain.rpartition("@")
    if '"' not in local:  # RFC 822 allowed spaces around dots; any other space follows a name
        local = "".join(GAP.sub(r"\1", local).split()[-1:])
    local = local.strip().strip(JOINERS)
    domain = "".join(domain.split()).strip(JOINERS)
    good = local and local != '""' and DOMAIN.fullmatch(domain)
    address = f"{local}@{domain}"
    return address if good and len(address) <= MAX_ADDRESS else ""


def _host(domain: str) -> bool:
    if domain.startswith("[") and domain.endswith("]"):
        literal = domain[1:-1]
        try:
            ipaddress.ip_address(literal[5:] if literal.lower().startswith("ipv6:") else literal)
        except ValueError:
            return False
        return True
    try:
        plain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except (UnicodeError, ValueError):
        return False
    return HOST.fullmatch(plain) is not None
