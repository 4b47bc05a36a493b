"""The workload: small events of bank accounts, 80 to 90 bytes of JSON each."""

from __future__ import annotations

import msgspec

from eventlab import Event, EventStore

DATA = {"amount": 100, "note": "salary march"}
EVENT = Event("deposit", DATA)

encode = msgspec.json.encode
decode = msgspec.json.decode


def account(number: int) -> str:
    """Return the id of an account.

    >>> account(1)
    'account-000001'
    """
    return f"account-{number:06}"


def text(id: str, version: int) -> bytes:
    """Return the JSON of an event as it is stored.

    >>> text("account-000001", 1)
    b'{"id":"account-000001","version":1,"type":"deposit","amount":100,"note":"salary march"}'
    """
    return encode({"id": id, "version": version, "type": EVENT.type, **DATA})


def fill(store: EventStore, *, accounts: int, each: int, batch_size: int = 1000) -> list[str]:
    """Append ``each`` events to each of ``accounts`` accounts, at most ``batch_size`` per call.

    Returns the ids of the accounts.
    """
    ids = [account(number) for number in range(accounts)]
    for version in range(0, each, batch_size):
        events = [EVENT] * min(batch_size, each - version)
        for id in ids:
            store.append(id, events, expected=version)
    return ids
