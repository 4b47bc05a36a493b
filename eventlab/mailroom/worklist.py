"""The worklist: the mails that are not done, as far as this process has read the stream."""

from __future__ import annotations

from collections.abc import Iterator

from eventlab.errors import Trimmed
from eventlab.mailroom.inbox_cursor import CURSOR_ID
from eventlab.mailroom.work_item import DONE, Status, WorkItem
from eventlab.store.keys import START
from eventlab.store.store import EventStore


class Worklist:
    """Every mail that waits, is being sent or is held for review.

    It can be behind: load a mail before you act on it.

    >>> worklist = Worklist(store)
    >>> worklist.refresh()
    >>> [item.id for item in worklist.with_status("in_doubt", "held")]
    ['18c2a0b1c2d3e4f5']
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._position = START
        self._items: dict[str, WorkItem] = {}

    def refresh(self) -> None:
        """Read the new events; after a trim, read the aggregate logs."""
        try:
            for event in self._store.read_all(after=self._position):
                if event.id != CURSOR_ID:
                    known = self._items.get(event.id) or WorkItem(event.id)
                    if event.version == known.version + 1:
                        self._keep(known.replay([event]))
                    elif event.version > known.version:  # it was done and no longer is
                        self._keep(WorkItem(event.id).replay(self._store.read(event.id)))
                self._position = event.position
        except Trimmed:
            head = self._store.head()
            for id in self._store.ids():
                if id != CURSOR_ID:
                    self._keep(WorkItem(id).replay(self._store.read(id)))
            self._position = head

    def with_status(self, *statuses: Status) -> Iterator[WorkItem]:
        """Return the mails that have one of these statuses, oldest first."""
        found = [item for item in self._items.values() if item.status in statuses]
        return iter(sorted(found, key=lambda item: (item.date, item.id)))

    def _keep(self, item: WorkItem) -> None:
        if item.status in DONE:
            self._items.pop(item.id, None)
        else:
            self._items[item.id] = item
