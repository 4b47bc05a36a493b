"""The views of the bank: its accounts, the money moved per day, and the events by type."""

from __future__ import annotations

from eventlab.accounts.names import COLLECTION
from eventlab.events import Recorded
from eventlab.projections.view import Changes

TIMESTAMPS = 100


class AccountView:
    """One document per account: ``{_id, funds, version, timestamps}``.

    ``timestamps`` has the positions of the account's newest events, at most 100.

    >>> lab.mongo.accountCollection.find_one({"_id": "JohnDoe"})
    {'_id': 'JohnDoe', 'funds': 0, 'timestamps': ['1551312621884-0', ...], 'version': 3}
    """

    per_aggregate = True

    def __init__(self, name: str = COLLECTION) -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event. Raises ValueError for an unknown type."""
        match event.type:
            case "create":
                funds = 0
            case "deposit":
                funds = event.data["amount"]
            case "withdraw":
                funds = -event.data["amount"]
            case _:
                raise ValueError(f"unknown account event type {event.type!r}")
        account = changes[event.id]
        account.inc("funds", funds)
        account.push("timestamps", event.position, keep=TIMESTAMPS)
        account.set("version", event.version)


class MoneyPerDay:
    """One document per day (UTC): ``{_id, deposited, withdrawn, events}``.

    Each document covers the deposits and withdrawals of all accounts on that day. A day with
    neither has no document.

    >>> lab.mongo.accountCollection_per_day.find_one({"_id": "2019-02-28"})
    {'_id': '2019-02-28', 'deposited': 100, 'events': 2, 'withdrawn': 100}
    """

    def __init__(self, name: str = f"{COLLECTION}_per_day") -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event. Raises KeyError for a deposit or withdrawal without an amount."""
        if event.type in ("deposit", "withdraw"):
            amount = event.data["amount"]
            day = changes[event.time.date().isoformat()]
            day.inc("deposited", amount if event.type == "deposit" else 0)
            day.inc("withdrawn", amount if event.type == "withdraw" else 0)
            day.inc("events", 1)


class EventsByType:
    """One document per event type: ``{_id, events, last}``, for any category.

    ``last`` is the position of the newest event of the type.

    >>> lab.mongo.accountCollection_by_type.find_one({"_id": "deposit"})
    {'_id': 'deposit', 'events': 1, 'last': '1551312827949-0'}
    """

    def __init__(self, name: str = f"{COLLECTION}_by_type") -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event of any type."""
        document = changes[event.type]
        document.inc("events", 1)
        document.set("last", event.position)
