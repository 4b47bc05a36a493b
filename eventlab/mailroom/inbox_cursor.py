"""The inbox cursor: how far the emails of the inbox have been recorded as received."""

from __future__ import annotations

from typing import Final

from eventlab.aggregate import Aggregate
from eventlab.events import Event, Recorded

CURSOR_ID: Final = "mailbox"  # Gmail's ids are hexadecimal, so no email has this one


class InboxCursor(Aggregate):
    """The position in Gmail's history of the mailbox; ``None`` before the first full list.

    ``since`` is the time, in seconds since 1970, before which emails are not listed; None if all
    emails are listed.

    >>> cursor = InboxCursor(CURSOR_ID)
    >>> cursor.advance("1001", found=3)
    >>> cursor.history_id
    '1001'
    """

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.history_id: str | None = None
        self.since: int | None = None

    def advance(self, history_id: str, *, found: int, since: int | None = None) -> None:
        """Move the cursor, once all ``found`` emails before it are recorded as received.

        Records nothing if the cursor is already there.
        """
        if (history_id, since) != (self.history_id, self.since):
            more = {} if since is None else {"since": since}
            self.record("listed", {"history_id": history_id, "found": found, **more})

    def apply(self, event: Event | Recorded) -> None:
        """Apply one event to the cursor."""
        if event.type == "listed":
            self.history_id = event.data["history_id"]
            self.since = event.data.get("since")
