"""The bank as documents, for those who only read: the accounts, the money moved per day, the events by type."""

from __future__ import annotations

from eventlab.accounts.names import COLLECTION
from eventlab.events import Recorded
from eventlab.projections.view import Changes

TIMESTAMPS = 100


class AccountView:
    """A document per account: ``{_id, funds, version, timestamps}``; timestamps are the newest positions, bounded.

    >>> lab.mongo.accountCollection.find_one({"_id": "JohnDoe"})
    {'_id': 'JohnDoe', 'funds': 0, 'timestamps': ['1551312621884-0', ...], 'version': 3}
    """

    def __init__(self, name: str = COLLECTION) -> None:
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


class MoneyPerDay:
    """A document per day (UTC) on which money moved: ``{_id, deposited, withdrawn, events}``, over all accounts.

    >>> lab.mongo.accountCollection_per_day.find_one({"_id": "2019-02-28"})
    {'_id': '2019-02-28', 'deposited': 100, 'events': 2, 'withdrawn': 100}
    """

    def __init__(self, name: str = f"{COLLECTION}_per_day") -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event; raises KeyError for a movement without an amount."""
        if event.type in ("deposit", "withdraw"):
            amount = event.data["amount"]
            day = changes[event.time.date().isoformat()]
            day.inc("deposited", amount if event.type == "deposit" else 0)
            day.inc("withdrawn", amount if event.type == "withdraw" else 0)
            day.inc("events", 1)


class EventsByType:
    """A document per type of event: ``{_id, events, last}`` with the position of the newest; of any category.

    >>> lab.mongo.accountCollection_by_type.find_one({"_id": "deposit"})
    {'_id': 'deposit', 'events': 1, 'last': '1551312827949-0'}
    """

    def __init__(self, name: str = f"{COLLECTION}_by_type") -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event; there is none that it cannot apply."""
        kind = changes[event.type]
        kind.inc("events", 1)
        kind.set("last", event.position)
