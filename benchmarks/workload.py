"""The workload: small events of a bank's accounts, 80 to 90 bytes of JSON each."""

from __future__ import annotations

import msgspec

from eventlab import Event, EventStore

DATA = {"amount": 100, "note": "salary march"}
EVENT = Event("deposit", DATA)

encode = msgspec.json.encode
decode = msgspec.json.decode


def account(number: int) -> str:
    """An account's id.

    >>> account(1)
    'account-000001'
    """
    return f"account-{number:06}"


def text(id: str, version: int) -> bytes:
    """The event as it is on the wire.

    >>> text("account-000001", 1)
    b'{"id":"account-000001","version":1,"type":"deposit","amount":100,"note":"salary march"}'
    """
    return encode({"id": id, "version": version, "type": EVENT.type, **DATA})


def fill(store: EventStore, *, accounts: int, each: int, at_once: int = 1000) -> list[str]:
    """Give so many accounts so many events each, in turns of ``at_once``; returns the ids."""
    ids = [account(number) for number in range(accounts)]
    for version in range(0, each, at_once):
        events = [EVENT] * min(at_once, each - version)
        for id in ids:
            store.append(id, events, expected=version)
    return ids
