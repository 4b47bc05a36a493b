"""Reads from the headers who wrote an email, who received it, and who should get the reply."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventlab.mailroom.mail.address import Address, addresses

MAX_SENDER_BYTES: Final = 8 * 1024
MAX_LISTED: Final = 50
SENDERS: Final = ("from", "sender", "reply-to", "return-path")
#: How Google Groups, and most list programs since DMARC, show a sender: 'Ann' via Support.
VIA: Final = re.compile(r"(.*\S)\s+via\s+\S.*", re.IGNORECASE | re.DOTALL)

Headers = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True)
class Correspondents:
    """The senders and recipients of an email; ``Message`` explains the fields."""

    sender: Address
    reply_to: tuple[Address, ...]
    original_sender: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    delivered_to: tuple[Address, ...]


def correspondents(headers: Headers, hint: str | None) -> Correspondents:
    """Return the senders and recipients of an email; the names of ``headers`` are in lower case.

    The sender is the first person with an address in From, Sender, Reply-To and Return-Path. If
    there is no address, the sender is the first name in From.
    """
    found = {name: _listed(headers, name, hint, MAX_SENDER_BYTES) for name in SENDERS}
    with_address = (one for name in SENDERS for one in found[name] if one.address)
    sender = next(with_address, (found["from"] or [Address("", "")])[0])
    reply_to = _with_address(found["reply-to"])
    return Correspondents(
        sender,
        reply_to,
        _original(headers, hint, sender, reply_to),
        _with_address(_listed(headers, "to", hint)),
        _with_address(_listed(headers, "cc", hint)),
        _with_address(
            one
            for name in ("delivered-to", "x-original-to", "envelope-to")
            for one in _listed(headers, name, hint)
        ),
    )


def _original(
    headers: Headers, hint: str | None, sender: Address, reply_to: tuple[Address, ...]
) -> Address | None:
    """Return the author of an email that a list forwarded in its own name, or None.

    The result is the first valid address that differs from the sender's. X-Original-From is tried
    first, because a Google Group sets this header when it replaces From. X-Original-Sender is next.
    If the sender's name is like "Ann via Support", the only address in Reply-To is tried last.
    """
    via = VIA.fullmatch(sender.name)
    name = via[1].strip("'\" ") if via else ""
    others = [
        *_listed(headers, "x-original-from", hint, MAX_SENDER_BYTES)[:1],
        *_listed(headers, "x-original-sender", hint, MAX_SENDER_BYTES)[:1],
        *(reply_to if via and len(reply_to) == 1 else ()),
    ]
    for one in others:
        if one.valid and one.address.lower() != sender.address.lower():
            return Address(one.name or name, one.address)
    return None


def _listed(
    headers: Headers, name: str, hint: str | None, max_bytes: int | None = None
) -> list[Address]:
    return [one for value in headers.get(name, ()) for one in addresses(value[:max_bytes], hint)]


def _with_address(found: Iterable[Address]) -> tuple[Address, ...]:
    unique = {one.address.lower(): one for one in found if one.address}
    return tuple(unique.values())[:MAX_LISTED]
