"""Appends events to one or more aggregates, all or nothing, with one Lua script per append."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from eventlab.errors import (
    InvalidArgument,
    InvalidEvent,
    LogMissing,
    LogReplaced,
    NotAdopted,
    TokenReused,
    VersionConflict,
)
from eventlab.events import (
    Batch,
    Event,
    Recorded,
    Row,
    as_recorded,
    decode_rows,
    encode_batch,
    encode_json,
)
from eventlab.store.idempotency import (
    KEY_SECONDS,
    Idempotency,
    Outcome,
    checked_fingerprint,
    commit_record,
    place_record,
)
from eventlab.store.keys import Keys, checked_name, checked_time
from eventlab.store.logs import AggregateLogs, new_token
from eventlab.store.scripts import Script
from eventlab.store.slices import register

NOTHING = Batch([], [], 2)
Written = dict[str, list[Recorded]]


class Write(msgspec.Struct, frozen=True):
    """The events that a commit appends to one aggregate.

    An example is ``Write("JohnDoe", [Event("create")], NEW)``. ``expected`` is the version that the
    writer has seen, and ``newest`` is the same as in ``EventStore.append``. A Write without events
    is a guard: only its version is checked.
    """

    id: str
    events: Sequence[Event]
    expected: int
    newest: tuple[str, str] | None = None


class EncodedWrite(msgspec.Struct, frozen=True):
    """A Write that has been checked and encoded; a guard has no events."""

    id: str
    batch: Batch
    expected: int
    newest: tuple[str, str] | None = None


class Append(msgspec.Struct, frozen=True):
    """The options of one append or commit, which do not change when the call is retried.

    ``home`` is the aggregate that the idempotency key belongs to, or None if the key belongs to the
    category.
    """

    token: str
    key: str | None
    fingerprint: str
    home: str | None


def append_of(
    token: str | None, key: str | None, fingerprint: str | None, home: str | None
) -> Append:
    """Return the checked options of one call, with a new token if none is given."""
    if token is not None:
        checked_name(token, "token")
    return Append(token or new_token(), key, checked_fingerprint(fingerprint or ""), home)


def checked_version(expected: object) -> int:
    """Return an expected version unchanged, or raise InvalidArgument if it is not a version."""
    if isinstance(expected, bool) or not isinstance(expected, int) or not 0 <= expected < 2**53:
        raise InvalidArgument(
            f"expected={expected!r} must be a version (0 or more) or NEW; an append to one "
            "aggregate also accepts EXISTS or ANY"
        )
    return expected


def checked_parts(
    writes: Sequence[Write],
    guards: Mapping[str, int],
    seal: Callable[[str, Sequence[Event]], Sequence[Event]],
) -> list[EncodedWrite]:
    """Return the writes of a commit, checked and encoded, followed by the guards.

    ``seal`` encrypts the protected fields of the events of an aggregate.
    """
    parts = []
    for write in writes:
        is_guard = write.events in ([], ())
        batch = NOTHING if is_guard else encode_batch(seal(write.id, write.events), write.id)
        parts.append(EncodedWrite(write.id, batch, checked_version(write.expected), write.newest))
    if not any(part.batch.events for part in parts):
        raise InvalidEvent("the commit has no events: append at least one event")
    parts += [EncodedWrite(id, NOTHING, checked_version(version)) for id, version in guards.items()]
    ids = [part.id for part in parts]
    if len(set(ids)) < len(ids):
        twice = next(id for id in ids if ids.count(id) > 1)
        raise InvalidArgument(
            f"the commit names {twice!r} twice: give each aggregate one Write, with all its "
            "events, and no guard"
        )
    return parts


class Appends:
    """Appends events to the aggregates of one category."""

    def __init__(
        self,
        redis: Any,
        keys: Keys,
        logs: AggregateLogs,
        idempotency: Idempotency,
        *,
        clock: Callable[[], int] | None,
        upcasted: Callable[[str, list[Row], int], list[Recorded]],
        revealed: Callable[[Recorded], Recorded] | None,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._logs = logs
        self._idempotency = idempotency
        self._clock = clock
        self._upcasted = upcasted
        self._revealed = revealed
        self._append = Script("store/append")
        self._commit = Script("store/commit")

    def append(self, append: Append, part: EncodedWrite) -> list[Recorded]:
        """Append events to one aggregate, and return the recorded events."""
        batch = part.batch
        keys = [self._keys.stream, self._keys.log(part.id), self._keys.ids, self._keys.slices]
        prefix = b'{"id":' + encode_json(part.id) + b',"version":'
        time = b"" if self._clock is None else checked_time(self._clock())
        position, newest = part.newest or ("", "")
        args = [part.expected, encode_json(append.token), prefix, batch.width, time]
        args += (position, encode_json(newest), self._keys.count)
        if append.key is not None:
            keys.append(self._keys.idempotency(part.id, append.key))
            record = place_record(append.fingerprint, part.expected, len(batch.events))
            args += (record, KEY_SECONDS)
        reply = self._run(self._append, keys, args + batch.texts)
        if isinstance(reply, bytes):
            return self._recorded(part, reply, 0)
        # Most conflicts are with another writer, whose event need not be decoded.
        if reply[0] == b"conflict" and encode_json(append.token) not in reply[3]:
            raise VersionConflict(part.id, part.expected, reply[2])
        return self._not_written(append, [part], reply)[part.id]

    def commit(self, commit: Append, parts: Sequence[EncodedWrite]) -> Written:
        """Append the events of all ``parts``, or nothing; return the recorded events by id."""
        keys = [self._keys.stream, self._keys.ids, self._keys.slices]
        time = b"" if self._clock is None else checked_time(self._clock())
        args: list[Any] = [encode_json(commit.token), time, len(parts), b"", KEY_SECONDS]
        args.append(self._keys.count)
        texts: list[bytes] = []
        for part in parts:
            batch = part.batch
            keys.append(self._keys.log(part.id))
            prefix = b'{"id":' + encode_json(part.id) + b',"version":'
            newest = b""
            if part.newest is not None:
                newest = b'["%b" %b' % (part.newest[0].encode(), encode_json(part.newest[1]))
            args += (part.expected, len(batch.events), batch.width, prefix, newest)
            texts += batch.texts
        if commit.key is not None:
            keys.append(self._keys.idempotency(None, commit.key))
            places = [(p.id, p.expected, len(p.batch.events)) for p in parts if p.batch.events]
            args[3] = commit_record(commit.fingerprint, places)
        reply = self._run(self._commit, keys, args + texts)
        if not isinstance(reply, bytes):
            return self._not_written(commit, parts, reply)
        written: Written = {}
        before = 0
        for part in parts:
            if part.batch.events:
                written[part.id] = self._recorded(part, reply, before)
                before += len(part.batch.events)
        return written

    def _run(self, script: Script, keys: list[bytes], args: list[Any]) -> Any:
        reply = script(self._redis, keys, args)
        if isinstance(reply, list) and reply[0] == b"slices":
            # This is the first event of a slice, or the store has the wrong number of slices.
            register(self._redis, self._keys)
            reply = script(self._redis, keys, args)
        return reply

    def _recorded(self, part: EncodedWrite, first: bytes, before: int) -> list[Recorded]:
        recorded = as_recorded(part.id, part.batch.events, part.expected, first, before)
        return recorded if self._revealed is None else list(map(self._revealed, recorded))

    def _not_written(
        self, append: Append, parts: Sequence[EncodedWrite], reply: list[Any]
    ) -> Written:
        match reply:
            case [b"conflict", *moved]:
                return self._moved(append, parts, moved)
            case [b"repeat", record]:
                id = parts[0].id if append.home is None else append.home
                key = append.key or ""
                outcome = self._idempotency.outcome(id, key, record, append.fingerprint)
                return self.events_of(outcome, append.home)
            case [b"replaced", number]:
                raise LogReplaced(parts[number - 1].id, parts[number - 1].expected)
            case [b"missing", number]:
                raise LogMissing(parts[number - 1].id)
        raise NotAdopted(self._keys.category)

    def _moved(self, append: Append, parts: Sequence[EncodedWrite], moved: list[Any]) -> Written:
        conflicts: dict[str, tuple[object, int]] = {}
        for number, actual, element in zip(moved[::3], moved[1::3], moved[2::3], strict=True):
            part = parts[number - 1]
            conflicts[part.id] = (part.expected, actual)
            if element and part.batch.events:
                [row] = decode_rows([element], part.id)
                if row.token == append.token:
                    # The commit was made before; its guards may have changed since then.
                    return {one.id: self.repeated(append, one) for one in parts if one.batch.events}
        id, (expected, version) = next(iter(conflicts.items()))
        raise VersionConflict(id, expected, version, conflicts)

    def repeated(self, append: Append, part: EncodedWrite) -> list[Recorded]:
        """Return the events of a repeated append.

        Raises TokenReused if the first append with this token had different events.
        """
        after = part.expected
        count = len(part.batch.events)
        before = min(after, 1)
        # One more row on either side shows whether this is the whole append or only a part.
        around = self._logs.rows(part.id, after - before, before + count + 1)
        rows = around[before : before + count]
        found = [(row.token, row.type, row.data, row.meta) for row in rows]
        asked = [(append.token, e.type, e.data, e.meta) for e in part.batch.events]
        if found != asked or count != sum(row.token == append.token for row in around):
            raise TokenReused(part.id, after + 1)
        return self._upcasted(part.id, rows, after)

    def find(self, id: str, token: str, *, after: int, limit: int) -> int | None:
        """Return the version before the append with a token, or None if no append has the token."""
        rows = self._logs.rows(id, after, limit)
        return next((after + n for n, row in enumerate(rows) if row.token == token), None)

    def events_of(self, outcome: Outcome, home: str | None) -> Written:
        """Return the events of the first request under an idempotency key, by aggregate id."""
        places = outcome.places if home is None else [(home, outcome.after, outcome.count)]
        found: Written = {}
        for id, after, count in places:
            rows = self._logs.rows(id, after, count)
            if len(rows) < count:
                raise LogMissing(id)
            found[id] = self._upcasted(id, rows, after)
        return found
