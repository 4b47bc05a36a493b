"""A rebuild: builds a view next to the live one, then replaces it.

It is complete even after a trim: what the category stream no longer holds is read from the
aggregate logs. The swap is the checkpoint's (checkpoint.py).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import Any

from eventlab.errors import Trimmed
from eventlab.events import Recorded
from eventlab.projections.checkpoint import Checkpoint, RebuildCheckpoint
from eventlab.projections.follower import Follower
from eventlab.projections.logs import events_of_logs
from eventlab.projections.session import ProjectorSession
from eventlab.projections.view import CHECKPOINTS, REBUILD_NAME, version_of
from eventlab.store.keys import START

Sized = tuple[Recorded, int]


class Rebuild(Follower):
    """A follower that builds documents that nobody reads yet."""

    def __init__(self, live: Follower, *, batch_size: int, name: str = "") -> None:
        session = ProjectorSession(live.mongo, live.name)
        name = name or f"{live.name}.rebuild-{secrets.token_hex(4)}"
        version = version_of(live.view)
        self._own = RebuildCheckpoint(live.store, session, name, version)
        self._live = Checkpoint(live.store, session, live.name, version)
        super().__init__(self._own, live.view, batch_size)
        self._counted = 0
        self._bar: Any = None
        self._logs: Iterator[Sized] | None = None  # None when they are not in use
        self._taken: list[Sized] = []  # the batch that was taken from them last
        self._taken_after = ""  # the position before it
        self._resumes = True  # where it began, or where another projector was

    def build(self, *, progress: bool) -> int:
        """Build the documents, swap them in, and return how many events were counted."""
        from tqdm.auto import tqdm  # it checks at import whether it runs in a notebook

        self._live.read()  # raises CategoryMismatch
        self.remove_abandoned()
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
        swap = self._live.decide_swap(self.name)
        if swap is None:
            return False
        self._live.finish_swap(self.name, swap)
        return True

    def remove_abandoned(self, keep: Collection[str] = ()) -> None:
        """Remove the rebuilds that were killed.

        One that still runs raises RebuildOvertaken."""
        pattern = {"$regex": f"^{re.escape(self._live.name)}{REBUILD_NAME}"}
        names = {
            state["_id"] for state in self.mongo[CHECKPOINTS].find({"_id": pattern}, {"_id": 1})
        }
        names.update(self.mongo.list_collection_names(filter={"name": pattern}))
        for name in names.difference(keep):
            # A dead rebuild's transaction would lock its checkpoint for a minute.
            self._session.end_others()
            self._live.remove_rebuild(name)

    def _create(self) -> None:
        """Create the checkpoint, and the collection as the live one is, with its indexes."""
        # First: a rebuild that is removed while it creates the rest must not continue without it.
        # And it is removed first: from then on, the collection leads to the rest.
        self._own.create()
        live = self.mongo[self._live.name]
        kept = live.options()
        self.mongo.create_collection(self.name, **kept)
        for name, index in live.index_information().items():
            if name == "_id_" or index.get("clustered"):
                continue
            options = {
                option: value for option, value in index.items() if option not in ("key", "v", "ns")
            }
            if "collation" in kept:  # an index without one would inherit the collection's
                options.setdefault("collation", {"locale": "simple"})
            self.mongo[self.name].create_index(index["key"], name=name, **options)

    # ---------------------------------------------------------- aggregate logs

    def _read(self, position: str) -> list[Recorded]:
        """Return the next batch, from the aggregate logs where the stream was trimmed."""
        if self._logs is not None and position == self._taken_after:
            # The batch failed: its events are needed again.
            self._logs = chain(self._taken, self._logs)
            self._taken = []
        elif self._logs is not None and position != self._taken[-1][0].position:
            self._logs = None
            self._resumes = True  # where another projector was, which shares this rebuild
        if self._resumes:
            self._resumes = False
            try:
                next(self._stream.entries(limit=1), None)
            except Trimmed:
                # Also where the stream is whole after this position: it may have gaps there.
                self._logs = events_of_logs(self.store, after=position)
        try:
            events = super()._read(position)
            if events or self._logs is None:
                return events
            # Once started, the logs are read to their end: the stream may have gaps after its
            # first entry.
            self._logs = None
            return super()._read(position)
        except Trimmed:
            self._logs = events_of_logs(self.store, after=position)
            events = super()._read(position)
            if not events:
                self._logs = None
                raise
            return events

    def _events(self, position: str) -> Iterator[Sized]:
        if self._logs is None:
            yield from super()._events(position)
            return
        self._taken_after = position
        self._taken = []
        for each in islice(self._logs, self._batch_size):
            self._taken.append(each)
            yield each

    def _lacks(self, position: str) -> bool:
        # An event that the aggregate log still has may be gone from the stream.
        return self._event is None and self._logs is None and super()._lacks(position)
