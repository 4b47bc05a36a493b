"""The inbox cursor: the point up to which the inbox's emails have been recorded as received."""

from __future__ import annotations

from typing import Final

from eventlab.aggregate import Aggregate
from eventlab.events import Event, Recorded

CURSOR_ID: Final = "mailbox"  # Gmail's ids are hexadecimal, so no email has this id


class InboxCursor(Aggregate):
    """The position in a mailbox's Gmail history up to which emails have been recorded.

    ``history_id`` is None before the first full listing. Emails that are older than ``since``, in
    seconds since 1970, are not listed. If ``since`` is None, all emails are listed.

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
        """Advance the cursor to ``history_id``.

        Call this only after all ``found`` emails up to that point have been recorded. Nothing is
        recorded if neither ``history_id`` nor ``since`` has changed.
        """
        if (history_id, since) != (self.history_id, self.since):
            more = {} if since is None else {"since": since}
            self.record("listed", {"history_id": history_id, "found": found, **more})

    def apply(self, event: Event | Recorded) -> None:
        """Apply one event to the cursor."""
        if event.type == "listed":
            self.history_id = event.data["history_id"]
            self.since = event.data.get("since")
