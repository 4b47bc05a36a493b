"""A repository: loads aggregates by their id, reading as little as possible, and saves them."""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import chain, takewhile
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from eventlab.aggregate import NEWEST_TOKEN, Aggregate, mark_stored
from eventlab.errors import CommandRejected, InvalidArgument, InvalidEvent, VersionConflict
from eventlab.events import Data, Recorded, encode_json, plain_json
from eventlab.store.answers import SERVER_ERRORS, is_outage
from eventlab.store.keys import checked_counts
from eventlab.store.logs import Tail, new_token
from eventlab.store.paging import KEYS_PAGE
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore

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
    """A state from the cache or a snapshot; ``kept`` is the version of its snapshot."""

    aggregate: A
    kept: int


class Repository(Generic[A]):
    """Loads and saves the aggregates of one category.

    ``new`` makes an aggregate without events, given its id: usually its class. ``cache`` is how
    many aggregates stay in memory. Every ``snapshot_every`` events a snapshot is stored in Redis
    (None: never), with the number ``schema``: raise it when the aggregate's state changes shape,
    and old snapshots are ignored. Of a store with ``protection`` nothing is kept, and
    ``snapshot_every`` raises InvalidArgument. Safe for threads and processes.

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
        checked_counts(cache=cache, snapshot_every=snapshot_every)
        if store.protection is not None and snapshot_every is not None:
            raise InvalidArgument(
                f"snapshot_every={snapshot_every!r} would store protected fields in the clear: "
                "leave it out"
            )
        self.store = store
        self._new = new
        # A cached state would remember a person who was forgotten.
        self._size = 0 if store.protection is not None else cache
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
        pages = self.store.pages(id, limit=version)
        events = chain.from_iterable(page.events for page in pages)
        # Positions only grow, so what follows the first later event is later too.
        return self._new(id).replay(takewhile(lambda e: at is None or e.time <= at, events))

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
        of ``EventStore.append``, whose errors it raises: LogReplaced if the log was written again
        since. After an error neither the aggregate nor the cache has changed.
        """
        changes = aggregate.changes
        if not changes:
            if idempotency_key is None:
                return []
            # "Nothing to do" is an outcome too: a repeat must not find something to do later.
            return self.store.reject(
                aggregate.id, idempotency_key, None, fingerprint=fingerprint or ""
            )
        events = (
            [msgspec.structs.replace(event, meta=meta) for event in changes] if meta else changes
        )
        expected = aggregate.version - len(changes)
        mine = new_token() if token is None else token
        known = vars(aggregate).get(NEWEST_TOKEN)
        recorded = self.store.append(
            aggregate.id,
            events,
            expected=expected,
            token=mine,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            newest=None if known is None else (aggregate.position, known),
        )
        same = [(event.version, event.type, event.data) for event in recorded]
        if same == [(expected + n, event.type, event.data) for n, event in enumerate(changes, 1)]:
            # Otherwise it is the earlier result of a repeat, and not this aggregate's outcome.
            # With a key, another append may have written the same events under a token that is not
            # known here: the cache keeps its state, and the next load reads these events too.
            newest = mine if idempotency_key is None else None
            mark_stored(aggregate, aggregate.version, recorded[-1].position, newest)
            vars(aggregate)["changes"] = []
            if newest is not None:
                self._update(aggregate)
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

        Returns the recorded events. With ``idempotency_key`` the outcome is kept for a day, even if
        ``decide`` records nothing or raises CommandRejected. A repeat returns the first outcome, or
        raises it if it was a rejection, before anything is decided; ``fingerprint`` identifies the
        request (default: any request with this key). There is no ``token``, which is for one
        append: a retry may need several.

        Raises the last VersionConflict after ``tries``. What ``decide`` raises is never retried.
        """
        if tries < 1:
            raise InvalidArgument(f"tries={tries!r} must be 1 or more")
        fingerprint = fingerprint or ""  # not a hash of the events: a retry may decide otherwise
        if idempotency_key is not None:
            first = self.store.seen(id, idempotency_key, fingerprint=fingerprint)
            if first is not None:
                return first
        for attempt in range(tries):
            aggregate = self.load(id)
            try:
                decide(aggregate)
            except CommandRejected as rejection:
                if idempotency_key is None:
                    raise
                # If a duplicate was stored in the meantime, its events are the outcome.
                return self.store.reject(id, idempotency_key, rejection, fingerprint=fingerprint)
            try:
                return self.save(
                    aggregate,
                    meta=meta,
                    idempotency_key=idempotency_key,
                    fingerprint=fingerprint,
                )
            except VersionConflict:
                if attempt == tries - 1:
                    raise
                # Not 2**attempt: from 2**1024 on, that is too large for a float.
                longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 9))
                time.sleep(random.uniform(0, longest))
        raise AssertionError("unreachable")

    def drop_snapshots(self) -> None:
        """Delete all snapshots: only the next loads take longer."""
        keys = [self.store.keys.snapshot(id) for id in self.store.ids()]
        for at in range(0, len(keys), KEYS_PAGE):
            self.store.redis.unlink(*keys[at : at + KEYS_PAGE])

    # ------------------------------------------------------------- known state

    def _latest(self, id: str) -> A:
        known = self._from_cache(id) or self._from_snapshot(id)
        if known is not None:
            aggregate = known.aggregate
            version = aggregate.version
            # Read the newest known event too: if it is another one, this state is of another log.
            # A position alone cannot show that: a log that was written again may have the same.
            pages = self.store.pages(id, after=version - 1)
            first = next(pages, None)
            if first and (first.events[0].position, first.tokens[0]) == (
                aggregate.position,
                vars(aggregate)[NEWEST_TOKEN],
            ):
                _fold(aggregate, chain([Tail(first.events[1:], first.tokens)], pages))
                if self._every or aggregate.version > version:
                    return self._remember(known)
                return aggregate
        aggregate = self._new(id)
        _fold(aggregate, self.store.pages(id))
        return self._remember(Known(aggregate, 0)) if aggregate.version else aggregate

    def _remember(self, known: Known[A]) -> A:
        aggregate = known.aggregate
        kept = known.kept
        if self._every and aggregate.version - kept >= self._every:
            self._keep(aggregate)
            kept = aggregate.version
        with self._lock:
            # A copy, so that no failed decision reaches the cache.
            self._cache[aggregate.id] = Known(aggregate.copy(), kept)
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return aggregate

    def _update(self, aggregate: A) -> None:
        # No snapshot here: if that failed, the caller would take a stored event for a failed one.
        with self._lock:
            if known := self._cache.get(aggregate.id):
                self._cache[aggregate.id] = Known(aggregate.copy(), known.kept)

    def _from_cache(self, id: str) -> Known[A] | None:
        with self._lock:
            if known := self._cache.get(id):
                self._cache.move_to_end(id)
        return None if known is None else known._replace(aggregate=known.aggregate.copy())

    def _from_snapshot(self, id: str) -> Known[A] | None:
        # A snapshot only saves time: if anything is odd about it, the log is read instead. One of
        # an earlier release has no token, and is not decoded.
        if not self._every:
            return None
        found = self.store.redis.execute_command("GET", self.store.keys.snapshot(id), **RAW)
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
        mark_stored(aggregate, snapshot.version, snapshot.position, snapshot.token)
        return Known(aggregate, snapshot.version)

    def _keep(self, aggregate: A) -> None:
        state = aggregate.state()
        what = f"the state of {aggregate.id!r}, for its snapshot,"
        # Equal is not enough: a Counter would come back as a dict that cannot count, an IntEnum as
        # an int.
        if repr(plain_json(state, what)[1]) != repr(state):
            raise InvalidEvent(f"{what} contains a type that does not survive JSON")
        token = vars(aggregate)[NEWEST_TOKEN]
        text = encode_json(
            Snapshot(self._schema, aggregate.version, aggregate.position, state, token)
        )
        name = self.store.keys.snapshot(aggregate.id)
        try:
            self.store.redis.set(name, zlib.crc32(text).to_bytes(4) + text)
        except SERVER_ERRORS as error:
            # A full or read-only Redis can still be read, and a snapshot only saves time.
            if not is_outage(error):
                raise


def _fold(aggregate: Aggregate, pages: Iterable[Tail]) -> None:
    """Apply the events of a log to an aggregate, page by page: a log may be long."""
    for page in pages:
        aggregate.replay(page.events)
        mark_stored(aggregate, aggregate.version, aggregate.position, page.tokens[-1])
