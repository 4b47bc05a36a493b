"""The worklist: the emails that are not done yet, according to the events read so far."""

from __future__ import annotations

from collections.abc import Iterator

from eventlab.errors import Trimmed
from eventlab.events import Recorded
from eventlab.mailroom.conversations import Conversations
from eventlab.mailroom.inbox_cursor import CURSOR_ID
from eventlab.mailroom.sender_counts import SenderCounts
from eventlab.mailroom.work_item import DONE, Status, WorkItem
from eventlab.store.keys import START, order
from eventlab.store.store import EventStore


class Worklist:
    """All emails that are waiting to be sent, are being sent, or may need an operator.

    The worklist can lag behind the stream, so load an email before you act on it.

    >>> worklist = Worklist(store)
    >>> worklist.refresh()
    >>> [item.id for item in worklist.with_status("in_doubt", "held")]
    ['18c2a0b1c2d3e4f5']
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._position = START
        self._items: dict[str, WorkItem] = {}
        self._ranks: dict[str, int] = {}
        self._counts = SenderCounts()
        self.conversations = Conversations()

    def refresh(self) -> None:
        """Read the new events, or all aggregate logs if the stream was trimmed."""
        try:
            for event in self._store.read_all(after=self._position):
                if event.id != CURSOR_ID:
                    known = self._items.get(event.id) or WorkItem(event.id)
                    if event.version == known.version + 1:
                        self._keep(known.replay([event]))
                    elif event.version > known.version:  # the email was done, but no longer is
                        self._keep(WorkItem(event.id).replay(self._store.read(event.id)))
                    self._note(event)
                self._position = event.position
        except Trimmed:
            self._position = self._read_logs()

    def with_status(self, *statuses: Status) -> Iterator[WorkItem]:
        """Return the emails that have one of these statuses, oldest first."""
        found = [item for item in self._items.values() if item.status in statuses]
        return iter(sorted(found, key=lambda item: (item.date, item.id)))

    def rank(self, id: str) -> int:
        """Return an email's rank among its sender's emails of the same hour, or 0 if unknown."""
        return self._ranks.get(id, 0)

    def _read_logs(self) -> str:
        """Read all aggregate logs, and return the position up to which they were read."""
        head = self._store.head()
        received = list[Recorded]()
        for id in self._store.ids():
            if id != CURSOR_ID:
                events = list(self._store.read(id))
                self._keep(WorkItem(id).replay(events))
                received += [event for event in events if event.type == "received"]
        self._ranks.clear()
        self._counts = SenderCounts()
        self.conversations = Conversations()
        for event in sorted(received, key=lambda event: order(event.position)):
            self._note(event)
        return head

    def _note(self, event: Recorded) -> None:
        if event.type == "received":
            self.conversations.add(event)
            rank = self._counts.add(event)
            if event.id in self._items:
                self._ranks[event.id] = rank

    def _keep(self, item: WorkItem) -> None:
        if item.status in DONE:
            self._items.pop(item.id, None)
            self._ranks.pop(item.id, None)
        else:
            self._items[item.id] = item
