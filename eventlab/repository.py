"""A repository: loads aggregates by their id, reading as little as possible, and saves them."""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from eventlab.aggregate import Aggregate
from eventlab.errors import CommandRejected, InvalidArgument, InvalidEvent, VersionConflict
from eventlab.events import Data, Recorded, encode_json, plain_json
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore, new_token

A = TypeVar("A", bound=Aggregate)
R = TypeVar("R")

FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.1


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """The state of an aggregate at a version, and the event by which its log is recognized.

    ``token`` and ``position`` are those of that event.
    """

    schema: int
    version: int
    position: str
    state: dict[str, Any]
    token: str


class Known(NamedTuple, Generic[A]):
    """A state from the cache or a snapshot.

    ``token`` is that of its newest event, ``kept`` the version of its snapshot.
    """

    aggregate: A
    token: str
    kept: int


class Repository(Generic[A]):
    """Loads and saves the aggregates of one category.

    ``new`` makes an aggregate without events, given its id: usually its class. ``cache`` is how
    many aggregates stay in memory. Every ``snapshot_every`` events a snapshot is stored in Redis
    (None: never), with the number ``schema``: raise it when the aggregate's state changes shape,
    and old snapshots are ignored. Safe for threads and processes.

    >>> accounts = Repository(store, Account)
    >>> accounts.retry("JohnDoe", lambda account: account.deposit(100))
    [Recorded(id='JohnDoe', version=2, type='deposit', data={'amount': 100}, position='…-0')]
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
        self._cache: OrderedDict[str, Known[A]] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, id: str, *, version: int | None = None, at: datetime | None = None) -> A:
        """Return the aggregate as it is now, as it was at a ``version``, or ``at`` a time.

        An aggregate without events is at version 0. A time without a zone raises InvalidArgument.

        >>> accounts.load("JohnDoe", version=2).funds
        100
        """
        if version is None and at is None:
            return self._latest(id)
        if at is not None and at.tzinfo is None:
            raise InvalidArgument(
                f"at={at!r} has no time zone: add one, as in datetime(..., tzinfo=UTC)"
            )
        events = self.store.read(id, limit=version)
        return self._new(id).replay(event for event in events if at is None or event.time <= at)

    def save(
        self,
        aggregate: A,
        *,
        meta: Data | None = None,
        token: str | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
    ) -> list[Recorded]:
        """Append the aggregate's changes, expecting the version at which it was loaded.

        Returns the recorded events. ``meta`` is stored with each event; the other options are those
        of ``EventStore.append``, whose errors it raises. After an error neither the aggregate nor
        the cache has changed.
        """
        changes = aggregate.changes
        if not changes:
            return []
        events = (
            [msgspec.structs.replace(event, meta=meta) for event in changes] if meta else changes
        )
        expected = aggregate.version - len(changes)
        mine = new_token() if token is None else token
        recorded = self.store.append(
            aggregate.id,
            events,
            expected=expected,
            token=mine,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )
        same = [(event.version, event.type, event.data) for event in recorded]
        if same == [(expected + n, event.type, event.data) for n, event in enumerate(changes, 1)]:
            # Otherwise it is the earlier result of a repeat, and not this aggregate's outcome.
            aggregate.position = recorded[-1].position
            aggregate.changes = []
            if idempotency_key is None:
                self._update(aggregate, mine)
            # With a key, another append may have written the same events under a token that is not
            # known here: the cache keeps its state, and the next load reads these events too.
        return recorded

    def retry(
        self,
        id: str,
        decide: Callable[[A], R],
        *,
        tries: int = 20,
        meta: Data | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
    ) -> list[Recorded]:
        """Load, decide, and save; on a conflict do it again on fresh state, after a short pause.

        Returns the recorded events. With ``idempotency_key`` the first outcome is returned, or
        raised if it was a rejection, before anything is decided; ``fingerprint`` identifies the
        request (default: any request with this key). There is no ``token``, which is for one
        append: a retry may need several.

        Raises the last VersionConflict after ``tries``; what ``decide`` raises is never retried.
        """
        if tries < 1:
            raise InvalidArgument(f"tries={tries!r} must be 1 or more")
        if idempotency_key is not None and fingerprint is None:
            fingerprint = ""  # not the hash of the events: another try may decide otherwise

        def first_outcome() -> list[Recorded] | None:
            if idempotency_key is None:
                return None
            return self.store.seen(id, idempotency_key, fingerprint=fingerprint)

        if first := first_outcome():
            return first
        for attempt in range(tries):
            aggregate = self.load(id)
            try:
                decide(aggregate)
                return self.save(
                    aggregate,
                    meta=meta,
                    idempotency_key=idempotency_key,
                    fingerprint=fingerprint,
                )
            except CommandRejected:
                if first := first_outcome():  # a duplicate was stored in the meantime
                    return first
                raise
            except VersionConflict:
                if attempt == tries - 1:
                    raise
                time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)))
        raise AssertionError("unreachable")

    def drop_snapshots(self) -> None:
        """Delete all snapshots: only the next loads take longer."""
        for id in self.store.ids():
            self.store.redis.delete(self.store.keys.snapshot(id))

    # ------------------------------------------------------------- known state

    def _latest(self, id: str) -> A:
        known = self._from_cache(id) or self._from_snapshot(id)
        if known is not None:
            aggregate = known.aggregate
            # Read the newest known event too: if it is another one, this state is of another log.
            # A position alone cannot show that: a log that was written again may have the same.
            tail = self.store.tail(id, after=aggregate.version - 1)
            if tail.events and (tail.events[0].position, tail.tokens[0]) == (
                aggregate.position,
                known.token,
            ):
                aggregate.replay(tail.events[1:])
                if self._every or tail.events[1:]:
                    return self._remember(Known(aggregate, tail.tokens[-1], known.kept))
                return aggregate
        tail = self.store.tail(id)
        aggregate = self._new(id).replay(tail.events)
        if not tail.events:
            return aggregate
        return self._remember(Known(aggregate, tail.tokens[-1], 0))

    def _remember(self, known: Known[A]) -> A:
        aggregate = known.aggregate
        kept = known.kept
        if self._every and aggregate.version - kept >= self._every:
            self._keep(known)
            kept = aggregate.version
        with self._lock:
            # A copy, so that no failed decision reaches the cache.
            self._cache[aggregate.id] = Known(aggregate.copy(), known.token, kept)
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return aggregate

    def _update(self, aggregate: A, token: str) -> None:
        # No snapshot here: if that failed, the caller would take a stored event for a failed one.
        with self._lock:
            if known := self._cache.get(aggregate.id):
                self._cache[aggregate.id] = Known(aggregate.copy(), token, known.kept)

    def _from_cache(self, id: str) -> Known[A] | None:
        with self._lock:
            if known := self._cache.get(id):
                self._cache.move_to_end(id)
        return None if known is None else known._replace(aggregate=known.aggregate.copy())

    def _from_snapshot(self, id: str) -> Known[A] | None:
        # A snapshot only saves time: if anything is odd about it, the log is read instead. One of
        # an earlier release has no token, and is not decoded.
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
        aggregate.version = snapshot.version
        aggregate.position = snapshot.position
        return Known(aggregate, snapshot.token, snapshot.version)

    def _keep(self, known: Known[A]) -> None:
        aggregate = known.aggregate
        state = aggregate.state()
        what = f"the state of {aggregate.id!r}, for its snapshot,"
        # Equal is not enough: a Counter would come back as a dict that cannot count, an IntEnum as
        # an int.
        if repr(plain_json(state, what)[1]) != repr(state):
            raise InvalidEvent(f"{what} contains a type that does not survive JSON")
        text = encode_json(
            Snapshot(self._schema, aggregate.version, aggregate.position, state, known.token)
        )
        self.store.redis.set(
            self.store.keys.snapshot(aggregate.id), zlib.crc32(text).to_bytes(4) + text
        )
