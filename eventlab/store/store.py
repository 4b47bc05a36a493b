"""An event store on Redis Streams, for all aggregates of one category.

The category stream contains every event, in commit order. Each aggregate log contains the events of
one aggregate, by version. One Lua script writes the stream and the log, after it has checked
everything. Nothing in this module depends on what an event means.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from redis import Redis
from redis.cluster import RedisCluster

from eventlab.errors import CommandRejected, NotSettled, VersionConflict
from eventlab.events import Batch, Event, Recorded, Row, decode_entry, encode_batch
from eventlab.store import adoption
from eventlab.store.appends import (
    Append,
    Appends,
    EncodedWrite,
    Write,
    append_of,
    checked_parts,
    checked_version,
)
from eventlab.store.idempotency import Idempotency, fingerprint_of
from eventlab.store.keys import START, Keys, checked_counts, checked_position
from eventlab.store.logs import AggregateLogs, Tail
from eventlab.store.paging import KEYS_PAGE
from eventlab.store.scripts import checked_client
from eventlab.store.sealing import Protects
from eventlab.store.settling import settle
from eventlab.store.slices import Sliceable, check_slices
from eventlab.store.stream import CategoryStream, as_text
from eventlab.store.waiting import wait_for_any


class Expected(enum.Enum):
    """A condition that an append can expect instead of an exact version."""

    EXISTS = "EXISTS"
    ANY = "ANY"


NEW: Final = 0
EXISTS: Final = Expected.EXISTS
ANY: Final = Expected.ANY

Upcaster = Callable[[Recorded], Recorded]


class EventStore(Sliceable):
    """The events of one category, in Redis.

    ``redis`` is a ``redis.Redis`` or a ``redis.cluster.RedisCluster``. ``clock`` returns the time
    in milliseconds since 1970. ``clock`` replaces the Redis clock in tests and reproducible
    notebooks; positions still never decrease. ``upcasters`` are applied, in order, to every event
    that is read; each takes a Recorded and returns it unchanged or in a newer shape. ``protection``
    encrypts personal fields, so that a person can be forgotten. ``slices=64`` spreads a category
    over the shards of a cluster (docs/slices.md); the first append fixes the number of slices.

    Raises InvalidName for a category that is empty, is too long, contains braces, or ends in ``#``
    and a number. Raises InvalidArgument for an asyncio client, a pipeline, a client that decodes
    responses with an encoding other than UTF-8, or a number of slices other than 1 and 64.

    >>> store = EventStore(lab.redis, "accountStream")
    >>> store.append("JohnDoe", [Event("create")], expected=NEW)
    [Recorded(id='JohnDoe', version=1, type='create', data={}, position='1551312621884-0')]
    """

    _sliced = "eventlab.slices.store", "SlicedStore"
    _number: int | None = None  # the number of the slice, if this is a slice

    def __init__(
        self,
        redis: Redis | RedisCluster,
        category: str,
        *,
        slices: int = 1,
        clock: Callable[[], int] | None = None,
        upcasters: Sequence[Upcaster] = (),
        protection: Protects | None = None,
    ) -> None:
        self.redis: Any = checked_client(redis)
        self.slices = slices
        self.keys = Keys(category, slice=self._number)
        self.category = self.keys.category
        self.idempotency = Idempotency(redis, self.keys)
        self._upcasters = (*([protection.reveal] if protection else []), *upcasters)
        self.protection = protection
        self._logs = AggregateLogs(redis, self.keys)
        self._stream = CategoryStream(redis, self.keys)
        self._appends = Appends(
            redis,
            self.keys,
            self._logs,
            self.idempotency,
            clock=clock,
            upcasted=self._upcasted,
            revealed=None if protection is None else protection.reveal,
        )

    def __repr__(self) -> str:
        return f"EventStore({self.category!r})"

    # ----------------------------------------------------------------- slices

    def slice_of(self, id: str) -> EventStore:  # noqa: ARG002 - for several slices
        """Return the store of an aggregate's slice, or this store if there is only one slice."""
        return self

    def all_slices(self) -> Sequence[EventStore]:
        """Return the stores of all slices, or only this store if there is only one slice."""
        return (self,)

    # ------------------------------------------------------------------ write

    def append(
        self,
        id: str,
        events: Sequence[Event],
        *,
        expected: int | Expected,
        token: str | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        newest: tuple[str, str] | None = None,
    ) -> list[Recorded]:
        """Store the events as the next versions of one aggregate, all or nothing.

        Returns the recorded events. ``expected`` is the version that the writer has seen, NEW (the
        aggregate must not exist yet), EXISTS (it must exist), or ANY (no condition).

        A ``token`` makes it safe to repeat this call: a repeat returns the events that were
        recorded. Without a token, each call gets a new token, which makes the retries of redis-py
        safe. With ANY or EXISTS, the whole aggregate log is searched for a token that you pass.

        ``idempotency_key`` is for repeats by your client. For a day, a call with the same key for
        the same aggregate returns the first outcome and writes nothing. If the first outcome was a
        rejection, the rejection is raised again. ``fingerprint`` identifies the request (default: a
        hash of the events).

        ``newest`` is the position and the token of the event at version ``expected``, as returned
        by ``pages``. If the log has a different event at this version, the log was replaced, and
        ``append`` raises LogReplaced.

        Redis executes no other command during an append, so append at most a few thousand events in
        one call.

        Raises VersionConflict, InvalidEvent, InvalidName, InvalidArgument, IdempotencyKeyReused,
        TokenReused, NotAdopted, SlicesMismatch or LogMissing. If one of these errors is raised,
        nothing was written.

        >>> store.append("JohnDoe", [Event("deposit", {"amount": 100})], expected=1)
        [Recorded(id='JohnDoe', version=2, type='deposit', data={'amount': 100}, position='…-0')]
        """
        batch = encode_batch(events if self.protection is None else self._sealed(id, events))
        if fingerprint is None and idempotency_key is not None:
            fingerprint = fingerprint_of(batch.events)
        request = append_of(token, idempotency_key, fingerprint, id)
        if isinstance(expected, Expected):
            return self._append_loosely(request, id, batch, expected, newest, token is not None)
        part = EncodedWrite(id, batch, checked_version(expected), newest)
        return self._appends.append(request, part)

    def _sealed(self, id: str, events: Sequence[Event]) -> Sequence[Event]:
        if self.protection is None:
            return events
        return [self.protection.seal(id, event) for event in events]

    def _append_loosely(
        self,
        request: Append,
        id: str,
        batch: Batch,
        expected: Expected,
        newest: tuple[str, str] | None,
        given: bool,
    ) -> list[Recorded]:
        # Try to append at an exact version until there is no conflict. Such an append recognizes a
        # repeat at that version only, but a given token may belong to a call at a lower version.
        version = self.version(id)
        searched = 0
        while True:
            if given:
                limit = version - searched
                after = self._appends.find(id, request.token, after=searched, limit=limit)
                if after is not None:
                    return self._appends.repeated(request, EncodedWrite(id, batch, after))
            searched = version
            if expected is EXISTS and version == 0:
                raise VersionConflict(id, EXISTS, 0)
            try:
                return self._appends.append(request, EncodedWrite(id, batch, version, newest))
            except VersionConflict as conflict:
                version = conflict.actual

    def commit(
        self,
        writes: Sequence[Write],
        *,
        guards: Mapping[str, int] | None = None,
        token: str | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
    ) -> dict[str, list[Recorded]]:
        """Append to several aggregates, all or nothing, in one round trip.

        Returns the recorded events of each aggregate, by id. Each ``Write`` contains the version
        that the writer has seen. ``guards`` contains the expected version, by id, of each aggregate
        that the decision reads but does not change. If any aggregate of the writes or the guards is
        at a different version, nothing is written. The events of a commit are consecutive in the
        category stream, in the order of the writes.

        ``token``, ``idempotency_key`` and ``fingerprint`` work as in ``append``, except that the
        idempotency key applies to the whole category. An expected version must be a number or NEW,
        not ANY or EXISTS, because a decision about several aggregates is valid only for exact
        versions.

        Raises VersionConflict, whose ``conflicts`` contains each aggregate that has changed, and
        the other errors of ``append``. If one of these errors is raised, nothing was written.

        >>> store.commit(
        ...     [
        ...         Write("JohnDoe", [Event("withdraw", {"amount": 40})], expected=2),
        ...         Write("JaneDoe", [Event("deposit", {"amount": 40})], expected=7),
        ...     ],
        ...     guards={"limits": 3},
        ... )["JaneDoe"]
        [Recorded(id='JaneDoe', version=8, type='deposit', data={'amount': 40}, position='…-1')]
        """
        parts = checked_parts(writes, guards or {}, self._sealed)
        if fingerprint is None and idempotency_key is not None:
            events = [(part.id, event) for part in parts for event in part.batch.events]
            fingerprint = fingerprint_of([event for _, event in events], [id for id, _ in events])
        request = append_of(token, idempotency_key, fingerprint, None)
        return self._appends.commit(request, parts)

    def seen(self, id: str, key: str, *, fingerprint: str | None = None) -> list[Recorded] | None:
        """Return the events that were appended under an idempotency key, or None for a new key.

        Call this method before you decide. Returns an empty list for a request that recorded
        nothing. Raises IdempotencyKeyReused if a ``fingerprint`` is given and the key was used for
        another request. If the first outcome was a rejection, raises that CommandRejected again.

        >>> store.seen("JohnDoe", "8e03978e-40d5") is None
        True
        """
        outcome = self.idempotency.lookup(id, key, fingerprint=fingerprint)
        return None if outcome is None else self._appends.events_of(outcome, id)[id]

    def seen_commit(
        self,
        key: str,
        *,
        fingerprint: str | None = None,
        ids: Sequence[str] = (),  # noqa: ARG002 - for several slices
    ) -> dict[str, list[Recorded]] | None:
        """Return the events that were committed under an idempotency key, or None for a new key.

        Raises the errors of ``seen``. A store with several slices needs the ``ids`` of the commit's
        aggregates to find their slice.
        """
        outcome = self.idempotency.lookup(None, key, fingerprint=fingerprint)
        return None if outcome is None else self._appends.events_of(outcome, None)

    def reject(
        self, id: str, key: str, rejection: CommandRejected | None, *, fingerprint: str
    ) -> list[Recorded]:
        """Store a rejection as the outcome under an idempotency key, and raise the rejection.

        If ``rejection`` is None, the request recorded nothing, and its outcome is an empty list. If
        the key already has an outcome, that outcome is used: its events are returned, or its
        rejection is raised. Raises IdempotencyKeyReused if the key belongs to a request with a
        different ``fingerprint``.
        """
        outcome = self.idempotency.keep(id, key, fingerprint, rejection)
        return self._appends.events_of(outcome, id)[id]

    def reject_commit(
        self,
        key: str,
        rejection: CommandRejected | None,
        *,
        fingerprint: str,
        ids: Sequence[str] = (),  # noqa: ARG002 - for several slices
    ) -> dict[str, list[Recorded]]:
        """Store a rejection as the outcome of a commit, and raise the rejection; see ``reject``.

        A store with several slices needs the ``ids`` of the commit's aggregates to find their
        slice.
        """
        outcome = self.idempotency.keep(None, key, fingerprint, rejection)
        return self._appends.events_of(outcome, None)

    def settle(
        self,
        events: Sequence[Recorded] = (),
        *,
        disk: int = 1,
        replicas: int = 0,
        timeout: float = 30.0,
    ) -> None:
        """Wait until earlier appends are on ``disk`` disks and on ``replicas`` replicas.

        The first disk is the master's, and every other disk is a replica's. It does not matter
        which thread or connection made the appends. A failover may lose events that no replica has
        yet. To check that your events still exist, pass the events that ``append`` returned.

        Raises NotSettled if ``timeout`` seconds pass, if Redis cannot confirm that the events are
        on these disks and replicas, or if an event was lost. In the last case, append the event
        again with the same token.

        >>> store.settle(store.append("JohnDoe", [Event("create")], expected=NEW), replicas=1)
        """
        checked_counts(disk=disk, replicas=replicas)
        settle(self.redis, self.keys, disk=disk, replicas=replicas, timeout=timeout)
        for id, event in {event.id: event for event in events}.items():
            # If an aggregate's newest event exists, so do its earlier events. Check after the wait,
            # because an event that exists now also existed when the wait began.
            if self.read(id, after=event.version - 1, limit=1) != [event]:
                raise NotSettled(f"version {event.version} of {id!r} was lost in a failover")

    # ------------------------------------------------------------------- read

    def read(
        self, id: str, *, after: int = 0, limit: int | None = None, reverse: bool = False
    ) -> list[Recorded]:
        """Return the events of one aggregate with versions above ``after``, oldest first.

        With ``reverse``, the newest event comes first, and ``limit`` keeps the newest events.
        Returns an empty list for an aggregate that does not exist. Raises InvalidName,
        InvalidArgument, NotAdopted, SlicesMismatch, LogMissing or CorruptEvent.

        >>> [event.type for event in store.read("JohnDoe", after=1, limit=10)]
        ['deposit', 'withdraw']
        """
        checked_counts(after=after, limit=limit)
        if not reverse:
            return self._upcasted(id, self._logs.rows(id, after, limit), after)
        last = self.version(id)
        begin = after if limit is None else max(after, last - limit)
        return self._upcasted(id, self._logs.rows(id, begin, last - begin), begin)[::-1]

    def pages(self, id: str, *, after: int = 0, limit: int | None = None) -> Iterator[Tail]:
        """Yield the events that ``read`` returns, with their tokens, in pages of limited size.

        Use ``pages`` for a long log, or to find out whether a cached state belongs to the current
        log.
        """
        checked_counts(after=after, limit=limit)
        for rows in self._logs.pages(id, after, limit):
            yield Tail(self._upcasted(id, rows, after), [row.token for row in rows])
            after += len(rows)

    def _upcasted(self, id: str, rows: list[Row], after: int) -> list[Recorded]:
        events = [
            Recorded(id, version, row.type, row.data, row.position, row.meta)
            for version, row in enumerate(rows, after + 1)
        ]
        return [self.upcast(event) for event in events] if self._upcasters else events

    def upcast(self, event: Recorded) -> Recorded:
        """Return an event in its newest shape, for code that does not read through the store."""
        for upcast in self._upcasters:
            event = upcast(event)
        return event

    def read_all(self, *, after: str = START, limit: int | None = None) -> Iterator[Recorded]:
        """Yield every event of the category after a position, in commit order, up to the newest.

        Raises Trimmed if events after that position are gone, CorruptEvent for an entry that is not
        an event, and InvalidArgument for an invalid position or limit.

        >>> [(event.id, event.version) for event in store.read_all(limit=2)]
        [('JohnDoe', 1), ('JohnDoe', 2)]
        """
        checked_counts(limit=limit)
        entries = self._stream.entries(after=checked_position(after), limit=limit)
        return (self.upcast(decode_entry(position, fields)) for position, fields in entries)

    def wait(self, *, after: str, seconds: float) -> bool:
        """Wait for an event after a position; return False if none arrives within ``seconds``.

        A failover of Redis does not end the wait.
        """
        return wait_for_any(self.redis, {self.keys.stream: after}, seconds)

    def version(self, id: str) -> int:
        """Return an aggregate's version (the number of its events), or 0 if it does not exist."""
        return self._logs.version(id)

    def ids(self) -> list[str]:
        """Return the ids of all aggregates of the category, sorted."""
        self._logs.check_adopted()
        return sorted(set(map(as_text, self.redis.sscan_iter(self.keys.ids, count=KEYS_PAGE))))

    def head(self) -> str:
        """Return the newest position, even of a trimmed event, or ``0-0`` before any event."""
        return self._stream.head()

    def lacks(self, position: str) -> bool:
        """Return True if Redis has lost the event at a position. A trimmed event is not lost."""
        return self._stream.lacks(position)

    # --------------------------------------------------------------- maintain

    def trim(self, *, before: str) -> int:
        """Drop the events before a position from the category stream, and return their number.

        The aggregate logs stay complete. Raises TrimRefused if a group (of a subscription or a
        view) has not finished these events; the error names the group.
        """
        return self._stream.trim(before)

    def forget_group(self, name: str) -> bool:
        """Delete an unused group and its parked events, so that it no longer blocks ``trim``.

        Returns False if the group does not exist.
        """
        self.redis.unlink(*self.keys.subscription(name))
        return self._stream.forget_group(name)

    def adopt(self, *, renumber: bool = False) -> int:
        """Build the aggregate logs of a category that another program wrote.

        Returns the number of events. Stop the other program first. Call ``adopt`` again after a
        crash, and whenever the other program has written more events. A duplicate or missing
        version is an error. With ``renumber``, the events of each aggregate are instead renumbered
        in order, in both the logs and the stream.

        Raises AdoptionRefused or CorruptEvent; both give the position of the event.
        """
        return adoption.adopt(self.redis, self.keys, renumber=renumber)

    def verify(self) -> list[Recorded]:
        """Return the events that are in the stream but not in the aggregate logs.

        Such events exist if a program that knows only the stream, such as the original Node.js
        program, has written to the stream since ``adopt``. An append does not check for such
        events. Stop that program, then call ``adopt`` again: it adds the events to the logs, or its
        error says what to repair.

        >>> store.verify()
        []
        """
        self._logs.check_adopted()
        return adoption.foreign_events(self.redis, self.keys)

    def drop(self) -> None:
        """Delete the category with its events and groups.

        Before you call this, stop all programs that write to the category or read it.
        """
        check_slices(self.redis, self.keys)
        self.redis.unlink(self.keys.stream, self.keys.ids, self.keys.trimmed)
        found = self.redis.scan_iter(match=self.keys.pattern(), count=KEYS_PAGE)
        while page := list(islice(found, KEYS_PAGE)):
            self.redis.unlink(*page)
