"""The mailbox: up to where its mails have been recorded as received."""

from __future__ import annotations

from typing import Final

from eventlab.aggregate import Aggregate
from eventlab.events import Event, Recorded

MAILBOX: Final = "mailbox"  # Gmail's ids are hexadecimal: no mail has this one


class Mailbox(Aggregate):
    """The cursor into the history of the mailbox; ``None`` before the first full list.

    >>> mailbox = Mailbox(MAILBOX)
    >>> mailbox.listed("1001", found=3)
    >>> mailbox.history_id
    '1001'
    """

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.history_id: str | None = None

    def listed(self, history_id: str, *, found: int) -> None:
        """Move the cursor, once all mails before it are recorded as received; where it stands already is no event."""
        if history_id != self.history_id:
            self.record("listed", {"history_id": history_id, "found": found})

    def apply(self, event: Event | Recorded) -> None:
        """Evolve the cursor."""
        if event.type == "listed":
            self.history_id = event.data["history_id"]
