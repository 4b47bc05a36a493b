"""A repository: aggregates by their id, loaded with as little reading as possible, saved at the version they had."""

from __future__ import annotations

import copy
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from eventlab.aggregate import Aggregate
from eventlab.errors import VersionConflict
from eventlab.events import Data, Recorded
from eventlab.store import EventStore

A = TypeVar("A", bound=Aggregate)
R = TypeVar("R")

FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.1


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """The state of an aggregate at a version, and the position by which it is known to be of this log."""

    schema: int
    version: int
    position: str
    state: dict[str, Any]


class Repository(Generic[A]):
    """Loads and saves the aggregates of one category.

    ``new`` makes an aggregate without events, given its id: usually its class. ``cache`` is how many of them stay in
    memory. ``snapshot_every`` n events a snapshot is kept in Redis (None: none), under the number ``schema``: raise it
    when the aggregate's state changes shape, and old snapshots are passed over. Safe for threads and processes.

    >>> accounts = Repository(store, Account)
    >>> accounts.retry("JohnDoe", lambda account: account.deposit(100))
    """

    def __init__(
        self,
        store: EventStore,
        new: Callable[[str], A],
        *,
        cache: int = 1000,
        snapshot_every: int | None = None,
        schema: int = 1,
    ) -> None:
        self.store = store
        self._new = new
        self._size = cache
        self._every = snapshot_every
        self._schema = schema
        self._cache: OrderedDict[str, A] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, id: str, *, version: int | None = None, at: datetime | None = None) -> A:
        """The aggregate as it is now, as it was at a ``version``, or as it was ``at`` a time.

        One that has no events is at version 0. A time without a zone is refused with ValueError, because it names
        no moment.

        >>> accounts.load("JohnDoe", version=2).funds
        100
        """
        if version is None and at is None:
            return self._latest(id)
        if at is not None and at.tzinfo is None:
            raise ValueError(f"at={at!r} has no time zone: give it one, such as datetime(..., tzinfo=UTC)")
        events = self.store.read(id, limit=version)
        return self._new(id).replay(event for event in events if at is None or event.time <= at)

    def save(self, aggregate: A, *, meta: Data | None = None, **options: Any) -> list[Recorded]:
        """Append the aggregate's changes, expecting the version at which it was loaded.

        ``meta`` goes with each event; ``options`` (token, once, fingerprint) to ``EventStore.append``, whose errors
        it raises. After an error neither the aggregate nor the cache has changed.
        """
        changes = aggregate.changes
        if not changes:
            return []
        events = [msgspec.structs.replace(event, meta=meta) for event in changes] if meta else changes
        expected = aggregate.version - len(changes)
        recorded = self.store.append(aggregate.id, events, expected=expected, **options)
        if recorded[-1].version != aggregate.version:  # an earlier result, by once=: this aggregate is not its outcome
            return recorded
        aggregate.position, aggregate.changes = recorded[-1].position, []
        self._remember(aggregate)
        if self._every and aggregate.version // self._every > expected // self._every:
            self._keep(aggregate)
        return recorded

    def retry(self, id: str, decide: Callable[[A], R], *, tries: int = 20, **options: Any) -> list[Recorded]:
        """Load, decide, save; on a conflict again, on fresh state, after a short random pause.

        With ``once=`` the result of the first time is returned before anything is decided. Raises the last
        VersionConflict after ``tries``, and whatever ``decide`` raises, at once.
        """
        if options.get("once") is not None:
            first = self.store.seen(id, options["once"], fingerprint=options.get("fingerprint"))
            if first is not None:
                return first
        for attempt in range(tries):
            aggregate = self.load(id)
            decide(aggregate)
            try:
                return self.save(aggregate, **options)
            except VersionConflict:
                if attempt == tries - 1:
                    raise
                time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)))
        raise ValueError(f"tries={tries}: give at least one")

    def drop_snapshots(self) -> None:
        """Throw all snapshots away: nothing changes but the time that a load takes."""
        for id in self.store.ids():
            self.store.redis.delete(self._key(id))

    # ------------------------------------------------------------- known state

    def _latest(self, id: str) -> A:
        with self._lock:
            known = self._cache.get(id)
            aggregate = copy.deepcopy(known) if known else None
        if aggregate is None and self._every:
            aggregate = self._from_snapshot(id)
        if aggregate is not None:
            # Read the newest known event too: if it is not the same one, this state is of another log.
            tail = self.store.read(id, after=aggregate.version - 1)
            if tail and tail[0].position == aggregate.position:
                return self._remember(aggregate.replay(tail[1:])) if tail[1:] else aggregate
        aggregate = self._new(id).replay(self.store.read(id))
        return self._remember(aggregate) if aggregate.version else aggregate

    def _remember(self, aggregate: A) -> A:
        if not self._size:
            return aggregate
        with self._lock:
            self._cache[aggregate.id] = copy.deepcopy(aggregate)  # its own copy: a failed decision cannot reach it
            self._cache.move_to_end(aggregate.id)
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return aggregate

    def _from_snapshot(self, id: str) -> A | None:
        text = self.store.redis.get(self._key(id))
        try:
            snapshot = msgspec.json.decode(text, type=Snapshot) if text else None
        except msgspec.MsgspecError:
            return None  # a snapshot is a help, never the truth
        if snapshot is None or snapshot.schema != self._schema:
            return None
        aggregate = self._new(id)
        aggregate.restore(snapshot.state)
        aggregate.version, aggregate.position = snapshot.version, snapshot.position
        return aggregate

    def _keep(self, aggregate: A) -> None:
        snapshot = Snapshot(self._schema, aggregate.version, aggregate.position, aggregate.state())
        self.store.redis.set(self._key(aggregate.id), msgspec.json.encode(snapshot))

    def _key(self, id: str) -> bytes:
        return self.store.keys.snapshot(id)
