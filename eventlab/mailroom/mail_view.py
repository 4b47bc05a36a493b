"""The mailroom's view: one document per email, with the email's state but not its content."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from pymongo.collection import Collection

from eventlab.events import Recorded
from eventlab.projections.view import Changes

#: The state of an email after an event, by the event's type.
STATES: Final = {
    "received": "received",
    "submitting": "submitting",
    "submitted": "submitted",
    "confirmed": "submitted",
    "refused": "refused",
    "unsent": "received",
    "resent": "received",
    "in_doubt": "in_doubt",
    "held": "held",
    "skipped": "skipped",
}
MAX_CONTACT_IDS: Final = 10
MAX_COUNTED: Final = 100_000  # emails per state
BY_STATE: Final = (("state", 1), ("since", 1))


def index_states(mails: Collection[dict[str, Any]]) -> None:
    """Create the view's index on the state, if the index does not exist yet."""
    mails.create_index(BY_STATE)


def counts_by_state(mails: Collection[dict[str, Any]]) -> dict[str, int]:
    """Return how many emails are in each state, counting up to 100,000 per state.

    >>> counts_by_state(lab.mongo.mailCollection)["held"]
    1
    """
    states = dict.fromkeys(STATES.values())
    return {state: mails.count_documents({"state": state}, limit=MAX_COUNTED) for state in states}


class MailView:
    """One document per email: ``{_id, state, since, domain, received, attempts, contact_id, ...}``.

    ``since`` is when the state last changed, and ``received`` is when Gmail received the email. If
    there are several ``contact_ids``, CXone has several work items for the same email.

    >>> lab.mongo.mailCollection.find_one({"_id": "18c2a0b1c2d3e4f5"}, {"state": 1, "domain": 1})
    {'_id': '18c2a0b1c2d3e4f5', 'state': 'submitted', 'domain': 'example.com'}
    """

    per_aggregate = True

    def __init__(self, name: str = "mailCollection") -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold an event into the email's document; raise ValueError for an unknown event type."""
        if event.type == "listed":
            return
        if event.type not in STATES and event.type != "late":
            raise ValueError(f"unknown work item event type {event.type!r}")
        mail = changes[event.id]
        data = event.data
        if event.type in STATES:
            mail.set("state", STATES[event.type])
            mail.set("since", event.time)
            mail.set("reason", data.get("reason"))
        if event.type == "received":
            mail.set("received", datetime.fromtimestamp(data["date"] / 1000, UTC))
            for field in ("domain", "thread_id", "size", "automatic"):
                mail.set(field, data.get(field))
        if event.type == "submitting":
            mail.set("attempts", data["attempt"])
            mail.set("router", data["router"])
        if event.type in ("submitted", "confirmed") and data["contact_id"]:
            mail.set("contact_id", data["contact_id"])
        if "submitted" in (event.type, data.get("outcome")):
            mail.push("contact_ids", data["contact_id"], keep=MAX_CONTACT_IDS)
