"""Loads aggregates by id, reading as little as possible, and saves them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import chain, takewhile
from typing import Generic, NamedTuple, TypeVar

from eventlab.aggregate import Aggregate, mark_stored, newest_of, restored, snapshot_of, write_of
from eventlab.errors import CommandRejected, InvalidArgument, VersionConflict
from eventlab.events import Data, Recorded
from eventlab.store.answers import SERVER_ERRORS, is_outage
from eventlab.store.appends import Write
from eventlab.store.keys import checked_counts
from eventlab.store.logs import Tail, new_token
from eventlab.store.paging import KEYS_PAGE
from eventlab.store.retries import OnConflict, retried
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore

A = TypeVar("A", bound=Aggregate)


class Known(NamedTuple, Generic[A]):
    """An aggregate from the cache or from a snapshot.

    ``kept`` is the version of the newest known snapshot, or 0. ``quiet`` is True if the last load
    found no events from other writers.
    """

    aggregate: A
    kept: int
    quiet: bool = False


class Repository(Generic[A]):
    """Loads and saves the aggregates of one category.

    ``new`` takes an id and returns an aggregate without events; usually, ``new`` is the aggregate's
    class. ``cache`` is the maximum number of aggregates that are kept in memory. A snapshot is
    stored in Redis after every ``snapshot_every`` events (None: never). ``schema`` is stored with
    each snapshot. Increase ``schema`` when the shape of the aggregate's state changes, so that
    older snapshots are ignored. For a store with ``protection``, nothing is cached, and
    ``snapshot_every`` raises InvalidArgument. A repository is thread-safe, and several processes
    can have repositories for the same category.

    To count conflicts, set ``on_conflict`` to a function. The function is called with each
    VersionConflict and the number of tries that are left.

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
                f"snapshot_every={snapshot_every!r} would store protected fields unencrypted: "
                "omit it"
            )
        self.store = store
        self._new = new
        # A cached state would still contain the data of a person who was forgotten.
        self._size = 0 if store.protection is not None else cache
        self._every = snapshot_every or None
        self._schema = schema
        self._cache: OrderedDict[str, Known[A]] = OrderedDict()
        self._lock = threading.Lock()
        self.on_conflict: OnConflict | None = None

    def load(self, id: str, *, version: int | None = None, at: datetime | None = None) -> A:
        """Return the aggregate as it is now, or as it was at a version, or at a moment (``at``).

        An aggregate without events is at version 0. An ``at`` without a time zone raises
        InvalidArgument.

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
        # Positions only increase, so the first event after that time ends the replay.
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
        """Append the aggregate's changes; expect the version at which the aggregate was loaded.

        Returns the recorded events. ``meta`` is stored with each event, and the other options are
        those of ``EventStore.append``. Raises the errors of ``append``, such as LogReplaced if the
        log was replaced after the aggregate was loaded. After an error, the aggregate and the cache
        are unchanged.
        """
        if not aggregate.changes:
            if idempotency_key is None:
                return []
            # "Nothing to do" is also an outcome: a later repeat must not do something after all.
            return self.store.reject(
                aggregate.id, idempotency_key, None, fingerprint=fingerprint or ""
            )
        mine = new_token() if token is None else token
        write = write_of(aggregate, meta)
        recorded = self.store.append(
            aggregate.id,
            write.events,
            expected=write.expected,
            token=mine,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            newest=write.newest,
        )
        # With a key, a duplicate request may have written the same events with a token that is not
        # known here. The cache therefore keeps its old state, and the next load reads the events.
        self._mark_saved(aggregate, write, recorded, mine if idempotency_key is None else None)
        return recorded

    def _mark_saved(
        self, aggregate: A, write: Write, recorded: list[Recorded], token: str | None
    ) -> None:
        same = [(event.version, event.type, event.data) for event in recorded]
        expected = enumerate(write.events, write.expected + 1)
        if same != [(version, event.type, event.data) for version, event in expected]:
            return  # a repeat got the earlier outcome, which does not match this aggregate
        mark_stored(aggregate, aggregate.version, recorded[-1].position, token)
        vars(aggregate)["changes"] = []
        if token is None:
            return
        # Store no snapshot here: its failure would look like a failure of the append.
        with self._lock:
            if known := self._cache.get(aggregate.id):
                self._cache[aggregate.id] = known._replace(aggregate=aggregate.copy())

    def retry(
        self,
        id: str,
        decide: Callable[[A], object],
        *,
        tries: int = 20,
        meta: Data | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
    ) -> list[Recorded]:
        """Load an aggregate, decide, and save; after a conflict, repeat with the fresh state.

        Returns the recorded events. If the last load found no events from other writers, ``decide``
        first runs on the cached state, and nothing is read. If another writer has appended events
        in the meantime, nothing is saved, and the aggregate is loaded; this attempt does not count
        as one of the ``tries``. After each conflict, there is a short pause before the next try.

        With ``idempotency_key``, the outcome is stored for a day, even if ``decide`` records
        nothing or raises CommandRejected. A repeat does not decide again. It returns the recorded
        events, or raises the rejection again. ``fingerprint`` identifies the request (by default,
        all requests with this key are treated as the same request). There is no ``token`` option,
        because a token is for one append, and a retry may need several.

        Raises the last VersionConflict after ``tries`` tries, and any error that ``decide`` raises
        on a state that was just loaded. ``decide`` may run more than once, so it must have no
        effects outside the aggregate.
        """
        request = fingerprint or ""  # not a hash of the events, which a retry may change
        key = idempotency_key
        save = partial(self.save, meta=meta, idempotency_key=key, fingerprint=request)

        def decided() -> Callable[[], list[Recorded]]:
            aggregate = self.load(id)
            try:
                decide(aggregate)
            except CommandRejected as rejection:
                if key is None:
                    raise
                # If a duplicate request was stored in the meantime, its events are the outcome.
                return partial(self.store.reject, id, key, rejection, fingerprint=request)
            return partial(save, aggregate)

        seen = partial(self.store.seen, id, fingerprint=request)
        unread = partial(self._save_unread, id, decide, save)
        return retried(tries, key, seen, decided, self.on_conflict, unread)

    def _save_unread(
        self, id: str, decide: Callable[[A], object], save: Callable[[A], list[Recorded]]
    ) -> list[Recorded] | None:
        """Decide on the cached state, without reading; return None if no events are appended.

        Only a successful append proves that the cached state was current. An error from ``decide``
        may be due to an old state.
        """
        known = self._from_cache(id)
        # If a snapshot is due, the aggregate is loaded, because only a load stores snapshots.
        if known is None or not known.quiet or self._is_due(known):
            return None
        try:
            decide(known.aggregate)
        except Exception:  # noqa: BLE001 - any error: decide again on the newest state
            return None
        with suppress(VersionConflict):
            return save(known.aggregate) if known.aggregate.changes else None
        return None

    def transact(
        self,
        ids: Sequence[str],
        decide: Callable[..., object],
        *,
        tries: int = 20,
        meta: Data | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
    ) -> dict[str, list[Recorded]]:
        """Load several aggregates, decide on all of them, and commit: all or nothing.

        ``decide`` gets the aggregates in the order of ``ids``. The aggregates that ``decide``
        changes are written, and the others are guards. If any aggregate has a newer version than
        the loaded one, nothing is written, and the decision is made again with the fresh state, as
        in ``retry``. Returns the recorded events of each aggregate that was written, by id. The
        options are those of ``retry``; an idempotency key applies to the whole category.

        Raises the errors of ``retry`` and ``EventStore.commit``, and InvalidArgument if an id is
        given twice.

        >>> accounts.transact(
        ...     ["JohnDoe", "JaneDoe"], lambda john, jane: (john.withdraw(40), jane.deposit(40))
        ... )["JaneDoe"]
        [Recorded(id='JaneDoe', version=8, type='deposit', data={'amount': 40}, position='…-1')]
        """
        if len(set(ids)) < len(ids):
            raise InvalidArgument(f"ids={ids!r} contains a duplicate id: list each aggregate once")
        request = fingerprint or ""

        def decided() -> Callable[[], dict[str, list[Recorded]]]:
            aggregates = [self.load(id) for id in ids]
            rejected = None
            try:
                decide(*aggregates)
            except CommandRejected as rejection:
                rejected = rejection
            return partial(self._commit, aggregates, rejected, meta, idempotency_key, request)

        seen = partial(self.store.seen_commit, fingerprint=request, ids=ids)
        return retried(tries, idempotency_key, seen, decided, self.on_conflict)

    def _commit(
        self,
        aggregates: list[A],
        rejected: CommandRejected | None,
        meta: Data | None,
        key: str | None,
        fingerprint: str,
    ) -> dict[str, list[Recorded]]:
        writes = [write_of(aggregate, meta) for aggregate in aggregates]
        if rejected is not None or not any(write.events for write in writes):
            # The aggregates were read one after another. If any of them has changed since, these
            # states may never have existed at the same time, and must not lead to a rejection.
            for write in writes:
                if (actual := self.store.version(write.id)) != write.expected:
                    raise VersionConflict(write.id, write.expected, actual)
            if key is not None:
                ids = [write.id for write in writes]
                return self.store.reject_commit(key, rejected, fingerprint=fingerprint, ids=ids)
            if rejected is not None:
                raise rejected
            return {}
        mine = new_token()
        done = self.store.commit(writes, token=mine, idempotency_key=key, fingerprint=fingerprint)
        for aggregate, write in zip(aggregates, writes, strict=True):
            if recorded := done.get(aggregate.id):
                self._mark_saved(aggregate, write, recorded, mine if key is None else None)
        return done

    def drop_snapshots(self) -> None:
        """Delete all snapshots. The only effect is that the next loads take longer."""
        keys = [self.store.slice_of(id).keys.snapshot(id) for id in self.store.ids()]
        for at in range(0, len(keys), KEYS_PAGE):
            self.store.redis.unlink(*keys[at : at + KEYS_PAGE])

    # ------------------------------------------------------------- known state

    def _latest(self, id: str) -> A:
        known = self._from_cache(id) or self._from_snapshot(id)
        if known is not None:
            aggregate = known.aggregate
            version = aggregate.version
            # Also read the newest known event: if it is different, this state is from another log.
            # The position alone is not enough, because a rewritten log may have the same positions.
            pages = self.store.pages(id, after=version - 1)
            first = next(pages, None)
            if first and (first.events[0].position, first.tokens[0]) == newest_of(aggregate):
                _fold(aggregate, chain([Tail(first.events[1:], first.tokens)], pages))
                quiet = aggregate.version == version
                if quiet and known.quiet and not self._is_due(known):
                    return aggregate  # nothing to remember
                return self._remember(known._replace(quiet=quiet))
        aggregate = self._new(id)
        _fold(aggregate, self.store.pages(id))
        return self._remember(Known(aggregate, 0)) if aggregate.version else aggregate

    def _remember(self, known: Known[A]) -> A:
        aggregate = known.aggregate
        if self._is_due(known):
            self._keep(aggregate)
            known = known._replace(kept=aggregate.version)
        with self._lock:
            # Store a copy, so that a failed decision cannot change the cached state.
            self._cache[aggregate.id] = known._replace(aggregate=aggregate.copy())
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return aggregate

    def _is_due(self, known: Known[A]) -> bool:
        return self._every is not None and known.aggregate.version - known.kept >= self._every

    def _from_cache(self, id: str) -> Known[A] | None:
        with self._lock:
            if known := self._cache.get(id):
                self._cache.move_to_end(id)
        return None if known is None else known._replace(aggregate=known.aggregate.copy())

    def _from_snapshot(self, id: str) -> Known[A] | None:
        # A snapshot only saves time: if it cannot be used, the log is read instead.
        if self._every is None:
            return None
        name = self.store.slice_of(id).keys.snapshot(id)
        found = self.store.redis.execute_command("GET", name, **RAW)
        aggregate = self._new(id)
        is_restored = bool(found) and restored(aggregate, found, self._schema)
        return Known(aggregate, aggregate.version) if is_restored else None

    def _keep(self, aggregate: A) -> None:
        text = snapshot_of(aggregate, self._schema)
        name = self.store.slice_of(aggregate.id).keys.snapshot(aggregate.id)
        try:
            self.store.redis.set(name, text)
        except SERVER_ERRORS as error:
            # A full or read-only Redis can still be read, and a snapshot only saves time.
            if not is_outage(error):
                raise


def _fold(aggregate: Aggregate, pages: Iterable[Tail]) -> None:
    """Apply the events of a log to an aggregate, page by page, because a log may be long."""
    for page in pages:
        aggregate.replay(page.events)
        mark_stored(aggregate, aggregate.version, aggregate.position, page.tokens[-1])
