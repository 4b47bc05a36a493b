"""The worklist: the mails that are not done with, as far as this process has read."""

from __future__ import annotations

from collections.abc import Iterator

from eventlab.errors import Trimmed
from eventlab.mailroom.mailbox import MAILBOX
from eventlab.mailroom.work_item import DONE, Status, WorkItem
from eventlab.store.keys import START
from eventlab.store.store import EventStore


class Worklist:
    """Every mail that waits, is being sent, or is left to a person. It says where to look; who acts loads the mail.

    >>> worklist = Worklist(store)
    >>> worklist.refresh()
    >>> [item.id for item in worklist.of("in_doubt", "held")]
    []
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._position = START
        self._items: dict[str, WorkItem] = {}

    def refresh(self) -> None:
        """Read what has happened since; after a trim, from the own logs."""
        try:
            for event in self._store.read_all(after=self._position):
                if event.id != MAILBOX:
                    known = self._items.get(event.id) or WorkItem(event.id)
                    if event.version == known.version + 1:
                        self._keep(known.replay([event]))
                    elif event.version > known.version:  # it was done with, and is not any more
                        self._keep(WorkItem(event.id).replay(self._store.read(event.id)))
                self._position = event.position
        except Trimmed:
            head = self._store.head()
            for id in self._store.ids():
                if id != MAILBOX:
                    self._keep(WorkItem(id).replay(self._store.read(id)))
            self._position = head

    def of(self, *statuses: Status) -> Iterator[WorkItem]:
        """The mails of these statuses, the oldest first.

        Example: ``list(worklist.of("received"))``
        """
        found = [item for item in self._items.values() if item.status in statuses]
        return iter(sorted(found, key=lambda item: (item.date, item.id)))

    def _keep(self, item: WorkItem) -> None:
        if item.status in DONE:
            self._items.pop(item.id, None)
        else:
            self._items[item.id] = item
