"""The documents of the bank's views, as stored and as computed from the events."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from eventlab import EventStore
from eventlab.accounts.projectors import views
from eventlab.store.answers import SERVER_ERRORS

COLLECTION = "accountCollection"


def truth(store: EventStore) -> dict[str, list[dict[str, Any]]]:
    """Return what the views must hold, computed plainly from the stream, event by event."""
    accounts: dict[str, dict[str, Any]] = {}
    days: dict[str, Counter[str]] = {}
    types: dict[str, dict[str, Any]] = {}
    for event in store.read_all():
        account = accounts.setdefault(event.id, {"_id": event.id, "funds": 0, "timestamps": []})
        amount = event.data.get("amount", 0)
        account["funds"] += -amount if event.type == "withdraw" else amount
        account["version"] = event.version
        account["timestamps"] = [*account["timestamps"], event.position][-100:]
        kind = types.setdefault(event.type, {"_id": event.type, "events": 0})
        kind |= {"events": kind["events"] + 1, "last": event.position}
        if amount:
            day = days.setdefault(event.time.date().isoformat(), Counter())
            day["events"] += 1
            day["deposited" if event.type == "deposit" else "withdrawn"] += amount
    per_day = [
        {"_id": day, "deposited": 0, "withdrawn": 0} | dict(sums) for day, sums in days.items()
    ]
    return {"accounts": [*accounts.values()], "per_day": per_day, "by_type": [*types.values()]}


def held(database: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the documents of each view."""
    return {name: list(database[view.name].find()) for name, view in views(COLLECTION).items()}


def by_id(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the documents of each view by their id."""
    return {
        name: {document["_id"]: document for document in documents}
        for name, documents in found.items()
    }


def views_caught_up(store: EventStore, database: Any) -> bool:
    """Return whether every view has applied the newest event."""
    with contextlib.suppress(*SERVER_ERRORS):
        head = store.head()
        names = [view.name for view in views(COLLECTION).values()]
        states = {state["_id"]: state["position"] for state in database.projections.find()}
        return all(states.get(name) == head for name in names)
    return False


def assert_views_are_exact(store: EventStore, database: Any) -> None:
    """Assert that each view holds what the events say."""
    assert by_id(held(database)) == by_id(truth(store))
