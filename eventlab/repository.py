"""A repository: aggregates by their id, loaded with as little reading as possible, saved at the version they had."""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from eventlab.aggregate import Aggregate
from eventlab.errors import CommandRejected, InvalidEvent, VersionConflict
from eventlab.events import Data, Recorded, encode_json, plain_json
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore

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
        self._cache: OrderedDict[str, tuple[A, int]] = (
            OrderedDict()
        )  # and the version of its snapshot
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
            raise ValueError(
                f"at={at!r} has no time zone: give it one, such as datetime(..., tzinfo=UTC)"
            )
        events = self.store.read(id, limit=version)
        return self._new(id).replay(event for event in events if at is None or event.time <= at)

    def save(self, aggregate: A, *, meta: Data | None = None, **options: Any) -> list[Recorded]:
        """Append the aggregate's changes, expecting the version at which it was loaded.

        ``meta`` goes with each event; ``options`` (token, idempotency_key, fingerprint) to
        ``EventStore.append``, whose errors
        it raises. After an error neither the aggregate nor the cache has changed.
        """
        if not (changes := aggregate.changes):
            return []
        events = (
            [msgspec.structs.replace(event, meta=meta) for event in changes] if meta else changes
        )
        expected = aggregate.version - len(changes)
        recorded = self.store.append(aggregate.id, events, expected=expected, **options)
        same = [(event.version, event.type, event.data) for event in recorded]
        if same == [(expected + n, event.type, event.data) for n, event in enumerate(changes, 1)]:
            # else an earlier result, by idempotency_key=, which is not this aggregate's outcome
            aggregate.position, aggregate.changes = recorded[-1].position, []
            self._update(aggregate)
        return recorded

    def retry(
        self, id: str, decide: Callable[[A], R], *, tries: int = 20, **options: Any
    ) -> list[Recorded]:
        """Load, decide, save; on a conflict again, on fresh state, after a short random pause.

        With ``idempotency_key=`` the result of the first time is returned before anything is decided. Raises the last
        VersionConflict after ``tries``, and whatever ``decide`` raises, at once.
        """
        if "token" in options:
            raise TypeError(
                "a token is for one append, and retry may take several: give idempotency_key="
            )
        if options.get("idempotency_key") is not None:
            options.setdefault(
                "fingerprint", ""
            )  # else the hash of events, which another try may decide otherwise
        if first := self._seen(id, options):
            return first
        for attempt in range(tries):
            aggregate = self.load(id)
            try:
                decide(aggregate)
                return self.save(aggregate, **options)
            except CommandRejected:
                if first := self._seen(id, options):  # its twin was stored since we looked
                    return first
                raise
            except VersionConflict:
                if attempt == tries - 1:
                    raise
                time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)))
        raise ValueError(f"tries={tries}: give at least one")

    def _seen(self, id: str, options: dict[str, Any]) -> list[Recorded] | None:
        key = options.get("idempotency_key")
        return (
            None
            if key is None
            else self.store.seen(id, key, fingerprint=options.get("fingerprint"))
        )

    def drop_snapshots(self) -> None:
        """Throw all snapshots away: nothing changes but the time that the next loads take."""
        for id in self.store.ids():
            self.store.redis.delete(self.store.keys.snapshot(id))

    # ------------------------------------------------------------- known state

    def _latest(self, id: str) -> A:
        known, kept = self._from_cache(id) or self._from_snapshot(id) or (None, 0)
        if known is not None:
            # Read the newest known event too: if it is not the same one, this state is of another log.
            version, position = known.version, known.position
            tail = self.store.read(id, after=version - 1)
            if tail and tail[0].position == position:
                known.replay(tail[1:])
                return self._remember(known, kept) if self._every or tail[1:] else known
        return self._remember(self._new(id).replay(self.store.read(id)), 0)

    def _remember(self, aggregate: A, kept: int) -> A:
        if self._every and aggregate.version - kept >= self._every:
            self._keep(aggregate)
            kept = aggregate.version
        if aggregate.version:
            with self._lock:
                self._cache[aggregate.id] = (
                    aggregate.copy(),
                    kept,
                )  # a copy: no failed decision reaches it
                while len(self._cache) > self._size:
                    self._cache.popitem(last=False)
        return aggregate

    def _update(self, aggregate: A) -> None:
        # No snapshot here: if that failed, the caller would take a stored event for a failed one.
        with self._lock:
            if known := self._cache.get(aggregate.id):
                self._cache[aggregate.id] = aggregate.copy(), known[1]

    def _from_cache(self, id: str) -> tuple[A, int] | None:
        with self._lock:
            if known := self._cache.get(id):
                self._cache.move_to_end(id)
        return None if known is None else (known[0].copy(), known[1])

    def _from_snapshot(self, id: str) -> tuple[A, int] | None:
        # A snapshot is a help, never the truth: whatever is odd about it, the log is read instead.
        found = (
            self.store.redis.execute_command("GET", self.store.keys.snapshot(id), **RAW)
            if self._every
            else None
        )
        if not found or zlib.crc32(found[4:]) != int.from_bytes(found[:4]):
            return None
        try:
            snapshot = msgspec.json.decode(found[4:], type=Snapshot)
        except msgspec.MsgspecError:
            return None
        aggregate = self._new(id)
        if snapshot.schema != self._schema or snapshot.state.keys() != aggregate.state().keys():
            return None
        aggregate.restore(snapshot.state)
        aggregate.version, aggregate.position = snapshot.version, snapshot.position
        return aggregate, snapshot.version

    def _keep(self, aggregate: A) -> None:
        state = aggregate.state()
        # Equal is not enough: a Counter would come back as a dict that counts nothing, an IntEnum as an int.
        if repr(plain_json(state, f"the state of {aggregate.id!r}, for its snapshot,")[1]) != repr(
            state
        ):
            raise InvalidEvent(
                f"the state of {aggregate.id!r}, for its snapshot, holds a kind that is not plain JSON"
            )
        text = encode_json(Snapshot(self._schema, aggregate.version, aggregate.position, state))
        self.store.redis.set(
            self.store.keys.snapshot(aggregate.id), zlib.crc32(text).to_bytes(4) + text
        )
