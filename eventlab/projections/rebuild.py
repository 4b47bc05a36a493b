"""A rebuild: a view built again next to the live one, which it then replaces.

It is complete after a trim, too: what the category stream no longer holds is read from the
aggregate logs. The swap is the checkpoint's (checkpoint.py).
"""

from __future__ import annotations

import heapq
import re
import secrets
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Any, Final

from eventlab.errors import Trimmed
from eventlab.events import Recorded
from eventlab.projections.checkpoint import Checkpoint, RebuildCheckpoint
from eventlab.projections.follower import Follower
from eventlab.projections.session import ProjectorSession
from eventlab.store.keys import START, order
from eventlab.store.store import EventStore

LOG_PAGE_EVENTS: Final = 500  # events of an aggregate log that are read at once


class Rebuild(Follower):
    """The follower whose documents nobody reads yet."""

    def __init__(self, live: Follower, *, batch_size: int) -> None:
        session = ProjectorSession(live.mongo, live.view.name)
        name = f"{live.name}.rebuild-{secrets.token_hex(4)}"
        self._own = RebuildCheckpoint(live.store, live.mongo, name, session, view=live.name)
        self._live = Checkpoint(live.store, live.mongo, live.name, session)
        super().__init__(
            live.store,
            live.mongo,
            live.view,
            session=session,
            checkpoint=self._own,
            batch_size=batch_size,
        )
        self._counted = 0
        self._bar: Any = None
        self._logs: Iterator[Recorded] = iter(())
        self._logs_position = ""  # up to where they were read; empty when they are not in use

    def build(self, *, progress: bool) -> int:
        """Build the documents, swap them in, and return how many events were counted."""
        from tqdm.auto import tqdm  # it checks at import whether it runs in a notebook

        self._remove_abandoned()
        self._create()
        try:
            if self.store.head() != START:
                self._own.hold_trims()
            total = self.store.redis.xlen(self.store.keys.stream)
            with tqdm(
                total=total, desc=self._live.name, unit=" events", disable=not progress
            ) as self._bar:
                self.catch_up()
                while not self._swap():
                    pass  # it took too long, and the live projectors continued
        finally:
            self._live.remove_rebuild(self.name)
        return self._counted

    def run_once(self) -> int:
        """Apply the next batch, and move the progress bar."""
        more = super().run_once()
        self._counted += more
        if self._bar is not None:
            self._bar.update(more)
        return more

    def _swap(self) -> bool:
        """Stop the live projectors, catch up, and swap; False if the fence was broken too early."""
        self._live.fence(self.name)
        self.catch_up()
        position = str(self.position)
        if not self._live.decide_swap(self.name, position):
            return False
        self._live.finish_swap(self.name, position)
        return True

    def _remove_abandoned(self) -> None:
        """Remove the rebuilds that were killed.

        One that still runs raises RebuildOvertaken."""
        pattern = f"^{re.escape(self._live.name)}\\.rebuild-[0-9a-f]{{8}}$"
        for name in self.mongo.list_collection_names(filter={"name": {"$regex": pattern}}):
            # A dead rebuild's transaction would lock its checkpoint for a minute.
            self._session.end_others()
            self._live.remove_rebuild(name)

    def _create(self) -> None:
        """Create the collection, the checkpoint, and the indexes of the live collection."""
        # The collection is created first and removed last: after a crash, it leads to everything
        # else.
        self.mongo.create_collection(self.name)
        # Before the indexes: a rebuild that is removed while it copies them must not continue
        # without them.
        self._own.create()
        for name, index in self.mongo[self._live.name].index_information().items():
            if name != "_id_":
                options = {
                    option: value
                    for option, value in index.items()
                    if option not in ("key", "v", "ns")
                }
                self.mongo[self.name].create_index(index["key"], name=name, **options)

    # ---------------------------------------------------------- aggregate logs

    def _read(self, position: str) -> list[Recorded]:
        """Return the next batch, from the aggregate logs where the stream was trimmed."""
        if self._logs_position not in ("", position):
            # A batch failed: its events were taken from the logs, and are needed again.
            self._start_logs(position)
        if events := self._next_of_logs(position):
            return events
        try:
            return super()._read(position)
        except Trimmed:
            self._start_logs(position)
            if events := self._next_of_logs(position):
                return events
            raise

    def _start_logs(self, position: str) -> None:
        self._logs = events_of_logs(self.store, after=position)
        self._logs_position = position

    def _next_of_logs(self, position: str) -> list[Recorded]:
        # Once started, the logs are read to their end: the stream may have gaps after its first
        # entry, too.
        if position != self._logs_position:
            self._logs_position = ""
            return []
        events = list(islice(self._logs, self._batch_size))
        self._logs_position = events[-1].position if events else ""
        return events


def events_of_logs(store: EventStore, *, after: str) -> Iterator[Recorded]:
    """Yield the events after a position from all aggregate logs, in commit order.

    It ends at the event that is the newest when it is called."""
    # The head is read first: of the events after it, only some logs would have theirs.
    head = order(store.head())
    logs = [_events_of_log(store, id) for id in store.ids()]
    merged = heapq.merge(*logs, key=lambda event: order(event.position))
    old = takewhile(lambda event: order(event.position) <= head, merged)
    return (event for event in old if order(event.position) > order(after))


def _events_of_log(store: EventStore, id: str) -> Iterator[Recorded]:
    version = 0
    while page := store.read(id, after=version, limit=LOG_PAGE_EVENTS):
        yield from page
        version = page[-1].version
