"""Chooses the point of contact for an email by the address that the email was sent to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from eventlab.mailroom.address_match import folded, forms
from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.mail.address import Address
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.variables import CXONE_POC

ANY: Final = "*"


@dataclass(frozen=True)
class PointsOfContact:
    """The point of contact for each of our addresses or domains, and a default for all others.

    >>> points = PointsOfContact.parse("returns@shop.example=Returns, *=Support")
    >>> points.by_address, points.default
    ({'returns@shop.example': 'Returns'}, 'Support')
    """

    default: str
    by_address: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: str) -> Self:
        """Parse the setting: a name, or ``address=name, @domain=name, *=name``.

        Raises ``BadSetting``, which names every invalid entry.

        >>> PointsOfContact.parse("Support").default
        'Support'
        """
        entries = [entry.partition("=") for entry in value.split(",")]
        if not any(equals and _is_key(key.strip()) for key, equals, _name in entries):
            return cls(value.strip())  # a name may contain a comma or an equals sign
        found: dict[str, str] = {}
        problems = []
        for entry in entries:
            key = entry[0].strip()
            name = entry[2].strip()
            where = ANY if key == ANY else folded(key)
            problem = _problem(key, entry[1], name)
            if problem or where in found:
                shown = "".join(entry).strip()
                problems.append(f"{shown!r} {problem or 'repeats an address'}")
            else:
                found[where] = name
        if ANY not in found:
            problems.append("there is no *=NAME for all other mail")
        if problems:
            raise BadSetting(CXONE_POC, "; ".join(problems))
        return cls(found.pop(ANY), found)

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses that have their own point of contact, not including whole domains."""
        return frozenset(key for key in self.by_address if not key.startswith("@"))

    def of(self, message: Message, own: Collection[str] = ()) -> str:
        """Return the point of contact for an email, or the default if no address matches.

        The addresses in Delivered-To, To and Cc are tried in this order, and the first match is
        used. A Delivered-To address in ``own``, the mailbox's own addresses, is tried last, because
        every email in the mailbox has such an address.
        """
        for one in _recipients(message, own):
            for form in forms(one.address):
                if form in self.by_address:
                    return self.by_address[form]
        return self.default


def _recipients(message: Message, own: Collection[str]) -> Iterator[Address]:
    mailbox = [one for one in message.delivered_to if folded(one.address) in own]
    yield from (one for one in message.delivered_to if one not in mailbox)
    yield from message.to
    yield from message.cc
    yield from mailbox


def _is_key(key: str) -> bool:
    return key == ANY or "@" in key


def _problem(key: str, equals: str, name: str) -> str:
    if not equals:
        return "is not of the form address=name"
    if key != ANY and not Address("", f"any{key}" if key.startswith("@") else key).valid:
        return "does not begin with an address, an @domain or *"
    if not name:
        return "names no point of contact"
    return "has two equals signs" if "=" in name else ""
