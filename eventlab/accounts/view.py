"""The accounts as documents: what each holds, for those who only read."""

from __future__ import annotations

from eventlab.events import Recorded
from eventlab.projection import Changes

TIMESTAMPS = 100


class AccountView:
    """A document per account: ``{_id, funds, version, timestamps}``; timestamps are the newest positions, bounded.

    >>> lab.mongo.accountCollection.find_one({"_id": "JohnDoe"})
    {'_id': 'JohnDoe', 'funds': 0, 'timestamps': ['1551312621884-0', ...], 'version': 3}
    """

    def __init__(self, name: str = "accountCollection") -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event; raises ValueError for a type that is none of an account's."""
        match event.type:
            case "create":
                funds = 0
            case "deposit":
                funds = event.data["amount"]
            case "withdraw":
                funds = -event.data["amount"]
            case _:
                raise ValueError(f"an account has no event of type {event.type!r}")
        account = changes[event.id]
        account.inc("funds", funds)
        account.push("timestamps", event.position, keep=TIMESTAMPS)
        account.set("version", event.version)
