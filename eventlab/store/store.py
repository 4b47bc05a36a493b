"""An event store on Redis Streams: one category, all its aggregates.

The category stream holds every event in commit order; each aggregate's own log holds its events by version. One Lua
script writes both, after it has checked everything. Nothing here knows what an event means.
"""

from __future__ import annotations

import enum
import hashlib
import json
import os
from binascii import b2a_base64
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from redis import Redis
from redis.cluster import RedisCluster

from eventlab.errors import (
    IdempotencyKeyReused,
    InvalidName,
    NotAdopted,
    TokenReused,
    VersionConflict,
)
from eventlab.events import (
    Batch,
    Event,
    Recorded,
    Row,
    decode_entry,
    decode_rows,
    encode_batch,
    encode_json,
)
from eventlab.store import adoption
from eventlab.store.keys import START, Keys, checked_counts, checked_name, checked_position
from eventlab.store.scripts import RAW, Script
from eventlab.store.stream import CategoryStream, as_text

ONCE_SECONDS: Final = 24 * 60 * 60
PAGE: Final = 10_000
YEAR_10000: Final = 253_402_300_800_000  # in milliseconds since 1970: datetime ends there


class Expected(enum.Enum):
    """What an append expects of an aggregate, when it is not an exact version."""

    EXISTS = "EXISTS"
    ANY = "ANY"


NEW: Final = 0
EXISTS: Final = Expected.EXISTS
ANY: Final = Expected.ANY

Upcaster = Callable[[Recorded], Recorded]


class Once(msgspec.Struct, array_like=True, frozen=True):
    """What is kept under a ``idempotency_key`` key: which request it stands for, and where its events are."""

    fingerprint: str
    after: int
    count: int


class Append(msgspec.Struct, frozen=True):
    """One call of ``append``, checked and encoded: the same for each of its tries."""

    id: str
    batch: Batch
    token: str
    idempotency_key: str | None
    fingerprint: str


class EventStore:
    """The events of one category, in Redis.

    ``redis`` is a ``redis.Redis`` or a ``redis.cluster.RedisCluster``. ``clock`` gives the time in milliseconds since
    1970 instead of Redis (for tests and stable pages; positions still only grow). ``upcasters`` are applied, in their
    order, to every event that is read; each gets a Recorded and returns it, or a newer shape of it.

    Raises InvalidName for a category that is empty, too long, or holds braces.

    >>> store = EventStore(lab.redis, "accountStream")
    >>> store.append("JohnDoe", [Event("create")], expected=NEW)
    [Recorded(id='JohnDoe', version=1, type='create', data={}, position='1551312621884-0')]
    """

    def __init__(
        self,
        redis: Redis | RedisCluster,
        category: str,
        *,
        clock: Callable[[], int] | None = None,
        upcasters: Sequence[Upcaster] = (),
    ) -> None:
        self.redis: Any = redis
        self.category = category
        self.keys = Keys(category)
        self._clock = clock
        self._upcasters = tuple(upcasters)
        self._stream = CategoryStream(redis, self.keys)
        self._append = Script("store/append")

    def __repr__(self) -> str:
        return f"EventStore({self.category!r})"

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
    ) -> list[Recorded]:
        """Store the events as the next versions of one aggregate, all or none, and return them as recorded.

        ``expected`` is the version the writer has seen, NEW (it must not exist yet), EXISTS, or ANY. A ``token``
        makes a repeat of this call harmless: it returns what was recorded (without one, each call has its own, which
        covers the retries of redis-py). With ANY or EXISTS a given token is looked for in the whole own log.
        ``idempotency_key`` is a key for repeats by your client: for a day, the same key on the same aggregate
        returns the first
        result and writes nothing. ``fingerprint`` says which request the key stands for (default: these events).

        Raises VersionConflict, InvalidEvent, InvalidName, IdempotencyKeyReused, TokenReused, NotAdopted; each
        means that
        nothing was written.

        >>> store.append("JohnDoe", [Event("deposit", {"amount": 100})], expected=1)
        [Recorded(id='JohnDoe', version=2, type='deposit', data={'amount': 100}, position='1551312827949-0')]
        """
        batch = encode_batch(events)
        if fingerprint is None and idempotency_key is not None:
            fingerprint = _fingerprint(batch)
        if fingerprint:  # none is no text: so may a Repository say it
            checked_name(fingerprint, "fingerprint")
        request = Append(id, batch, token or _random_token(), idempotency_key, fingerprint or "")
        if token is not None:
            checked_name(token, "token")
        if isinstance(expected, Expected):
            return self._append_loosely(request, expected, given=token is not None)
        if isinstance(expected, bool) or not isinstance(expected, int) or not 0 <= expected < 2**53:
            raise InvalidName(
                f"expected={expected!r}: give a version (0 or more), NEW, EXISTS or ANY"
            )
        return self._append_at(request, expected)

    def _append_loosely(
        self, request: Append, expected: Expected, *, given: bool
    ) -> list[Recorded]:
        # A loop over the exact form: so a repeat is known by its place, as there. A given token may be of an earlier
        # call, and stand anywhere below.
        version, searched = self.version(request.id), 0
        while True:
            after = self._find(request, after=searched, limit=version - searched) if given else None
            if after is not None:
                return self._repeated(request, after)
            searched = version
            if expected is EXISTS and version == 0:
                raise VersionConflict(request.id, EXISTS, 0)
            try:
                return self._append_at(request, version)
            except VersionConflict as conflict:
                version = conflict.actual

    def _append_at(self, request: Append, expected: int) -> list[Recorded]:
        id, batch = request.id, request.batch
        keys = [self.keys.stream, self.keys.log(id), self.keys.ids]
        prefix = b'{"id":' + encode_json(id) + b',"version":'
        time = b"" if self._clock is None else _milliseconds(self._clock())
        args = [expected, encode_json(request.token), prefix, batch.width, time]
        if request.idempotency_key is not None:
            keys.append(self.keys.once(id, request.idempotency_key))
            args += (
                encode_json(Once(request.fingerprint, expected, len(batch.events))),
                ONCE_SECONDS,
            )
        answer = self._append(self.redis, keys, args + batch.texts)
        if isinstance(answer, bytes):
            return _recorded(id, batch.events, expected, answer)
        return self._not_appended(request, expected, answer)

    def _not_appended(self, request: Append, expected: int, answer: list[Any]) -> list[Recorded]:
        match answer:
            case [b"conflict", actual, element]:
                if element and decode_rows([element], request.id)[0].token == request.token:
                    return self._repeated(request, expected)
                raise VersionConflict(request.id, expected, actual)
            case [b"once", value]:
                assert request.idempotency_key is not None
                return self._first_result(
                    request.id, request.idempotency_key, value, request.fingerprint
                )
            case _:
                raise NotAdopted(self.category)

    def _repeated(self, request: Append, after: int) -> list[Recorded]:
        count, before = len(request.batch.events), min(after, 1)
        around = self._rows(
            request.id, after - before, before + count + 1
        )  # and its neighbours: it must be the whole
        rows = around[before : before + count]
        found = [(row.token, row.type, row.data, row.meta) for row in rows]
        asked = [
            (request.token, event.type, event.data, event.meta) for event in request.batch.events
        ]
        if found != asked or count != sum(row.token == request.token for row in around):
            raise TokenReused(request.id, after + 1)
        return self._lifted(request.id, rows, after)

    def _find(self, request: Append, *, after: int, limit: int) -> int | None:
        rows = self._rows(request.id, after, limit)
        return next((after + n for n, row in enumerate(rows) if row.token == request.token), None)

    def seen(self, id: str, key: str, *, fingerprint: str | None = None) -> list[Recorded] | None:
        """The result of the append that was done under this ``idempotency_key`` key, or None: ask before you decide.

        It is empty when the request took the key without an event, as a refusal does that is remembered.
        Raises IdempotencyKeyReused if a ``fingerprint`` is given and the key stands for another request.

        >>> store.seen("JohnDoe", "8e03978e-40d5") is None
        True
        """
        value = self.redis.execute_command("GET", self.keys.once(id, key), **RAW)
        return None if value is None else self._first_result(id, key, value, fingerprint)

    def _first_result(
        self, id: str, key: str, value: bytes, fingerprint: str | None
    ) -> list[Recorded]:
        first = msgspec.json.decode(value, type=Once)
        if fingerprint is not None and first.fingerprint != fingerprint:
            raise IdempotencyKeyReused(id, key)
        return self.read(id, after=first.after, limit=first.count)

    # ------------------------------------------------------------------- read

    def read(
        self, id: str, *, after: int = 0, limit: int | None = None, reverse: bool = False
    ) -> list[Recorded]:
        """The events of one aggregate with versions above ``after``, oldest first, or newest first with ``reverse``.

        An aggregate that is not there has no events. Raises InvalidName, NotAdopted, CorruptEvent.

        >>> [event.type for event in store.read("JohnDoe", after=1, limit=10)]
        ['deposit', 'withdraw']
        """
        checked_counts(after=after, limit=limit)
        if not reverse:
            return self._lifted(id, self._rows(id, after, limit), after)
        last = self.version(id)
        begin = after if limit is None else max(after, last - limit)
        return self._lifted(id, self._rows(id, begin, last - begin), begin)[::-1]

    def _rows(self, id: str, after: int, limit: int | None) -> list[Row]:
        log, rows = self.keys.log(id), list[Row]()
        while limit is None or len(rows) < limit:
            begin = after + len(rows)
            want = PAGE if limit is None else min(PAGE, limit - len(rows))
            elements = self.redis.execute_command("LRANGE", log, begin, begin + want - 1, **RAW)
            rows += decode_rows(elements, f"{id!r} after version {begin}")
            if len(elements) < want:
                break
        if not rows and limit != 0:
            self._check_adopted()
        return rows

    def _lifted(self, id: str, rows: list[Row], after: int) -> list[Recorded]:
        events = [
            Recorded(id, version, row.type, row.data, row.position, row.meta)
            for version, row in enumerate(rows, after + 1)
        ]
        return [self.upcast(event) for event in events] if self._upcasters else events

    def upcast(self, event: Recorded) -> Recorded:
        """An event as the upcasters make it; for who reads the stream beside the store, as a subscription does."""
        for upcast in self._upcasters:
            event = upcast(event)
        return event

    def read_all(self, *, after: str = START, limit: int | None = None) -> Iterator[Recorded]:
        """Every event of the category after a position, in commit order, up to the newest there is.

        Raises Trimmed when events after that position are gone, CorruptEvent for an entry that is no event.

        >>> [(event.id, event.version) for event in store.read_all(limit=2)]
        [('JohnDoe', 1), ('JohnDoe', 2)]
        """
        checked_counts(limit=limit)
        entries = self._stream.entries(after=checked_position(after), limit=limit)
        return (self.upcast(decode_entry(position, fields)) for position, fields in entries)

    def wait(self, *, after: str, seconds: float) -> None:
        """Wait for news: return when there is an event after a position, or when the time is over.

        Let it be less than the client's ``socket_timeout`` (redis-py: 5 s), which would take the wait for a failure.
        """
        self._stream.wait(after=after, seconds=seconds)

    def version(self, id: str) -> int:
        """The version of an aggregate: the number of its events; 0 when it is not there."""
        version = int(self.redis.execute_command("LLEN", self.keys.log(id)))
        if version == 0:
            self._check_adopted()
        return version

    def ids(self) -> list[str]:
        """The ids of all aggregates of the category, sorted."""
        self._check_adopted()
        return sorted(set(map(as_text, self.redis.sscan_iter(self.keys.ids, count=1000))))

    def head(self) -> str:
        """The newest position of the category, trimmed or not; ``0-0`` before the first event."""
        return self._stream.head()

    def lacks(self, position: str) -> bool:
        """True if no event stands at a position, and not because it was trimmed: Redis has lost it in a crash."""
        return self._stream.lacks(position)

    # --------------------------------------------------------------- maintain

    def trim(self, *, before: str) -> int:
        """Drop the events before a position from the category stream; own logs stay whole. Returns how many.

        Raises TrimRefused, naming the group (of a subscription or a view) that has not finished them.
        """
        return self._stream.trim(before)

    def forget_group(self, name: str) -> bool:
        """Forget a group that will not come back, with what it has parked; trim need not wait for it any more.

        Returns False if there is none.
        """
        self.redis.delete(*self.keys.subscription(name))
        return self._stream.forget_group(name)

    def adopt(self, *, renumber: bool = False) -> int:
        """Build the own logs of a category that another program wrote; returns the number of its events.

        Stop that program first. It can be run again after a crash, and whenever the other program wrote more.
        Versions that are doubled or missing are refused, unless ``renumber`` is set: then the events of each
        aggregate are counted anew, in their order, in the stream too.

        Raises AdoptionRefused, naming the place, and CorruptEvent.
        """
        return adoption.adopt(self.redis, self.keys, renumber=renumber)

    def drop(self) -> None:
        """Delete the category with all its events and groups. Stop its writers and readers first."""
        self.redis.delete(self.keys.stream, self.keys.ids, self.keys.trimmed)
        found = self.redis.scan_iter(match=self.keys.pattern(), count=PAGE)
        while some := list(islice(found, PAGE)):
            self.redis.unlink(*some)

    def _check_adopted(self) -> None:
        # In this order: an append that comes between the two looks has written the ids as well.
        if self.redis.xlen(self.keys.stream) and not self.redis.exists(self.keys.ids):
            raise NotAdopted(self.category)


def _random_token() -> str:
    return b2a_base64(os.urandom(9), newline=False).decode()


def _fingerprint(batch: Batch) -> str:
    # Without meta: a repeat may come with another correlation id.
    request = json.dumps([(event.type, event.data) for event in batch.events], sort_keys=True)
    return hashlib.sha256(request.encode()).hexdigest()[:32]


def _milliseconds(time: int) -> int:
    if isinstance(time, bool) or not isinstance(time, int) or not 0 <= time < YEAR_10000:
        raise InvalidName(f"the clock says {time!r}: expected whole milliseconds since 1970")
    return time


def _recorded(id: str, events: list[Event], after: int, first: bytes) -> list[Recorded]:
    milliseconds, _, sequence = first.decode().partition("-")
    at = int(sequence) - after - 1
    return [
        Recorded(id, version, event.type, event.data, f"{milliseconds}-{at + version}", event.meta)
        for version, event in enumerate(events, after + 1)
    ]
