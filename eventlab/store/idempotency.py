"""Keeps the first outcome of a request under its idempotency key, for repeats within a day.

The record under a key is a JSON array. ``[fingerprint, after, count]`` says which request the key
belongs to and where the request's events are. A rejection has three more elements:
``[fingerprint, 0, 0, class name, text, data]``. A commit to several aggregates has a seventh
element, which says where the events of the commit are:
``[fingerprint, 0, 0, "", "", {}, [[id, after, count], …]]``.

A key belongs to one aggregate, given as ``id``. The key of a commit belongs to the whole category,
and ``id`` is None.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from eventlab.errors import CommandRejected, IdempotencyKeyReused, InvalidEvent
from eventlab.events import Event, encode_json, plain_json
from eventlab.store.keys import Keys, checked_name
from eventlab.store.scripts import RAW

KEY_SECONDS: Final = 24 * 60 * 60
FIRST: Final[dict[str, Any]] = {**RAW, "get": True}  # otherwise, redis-py returns a bool


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """The outcome that is recorded under an idempotency key: events or a rejection.

    ``after`` is the version before the events, and ``count`` is their number. For a commit,
    ``places`` has each aggregate's id, previous version and number of events.
    """

    fingerprint: str
    after: int
    count: int
    rejection: str = ""
    text: str = ""
    data: dict[str, Any] = {}
    places: list[tuple[str, int, int]] = []


class Idempotency:
    """The idempotency keys of one category.

    The script that appends events also writes the record of their idempotency key. This class does
    everything else.
    """

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def lookup(self, id: str | None, key: str, *, fingerprint: str | None) -> Outcome | None:
        """Return the outcome of the first request under a key, or None for a new key.

        Raises IdempotencyKeyReused if ``fingerprint`` is given but differs from that of the first
        request. If the first request was rejected, raises the rejection again.
        """
        record = self._redis.execute_command("GET", self._keys.idempotency(id, key), **RAW)
        return None if record is None else self.outcome(id, key, record, fingerprint)

    def keep(
        self, id: str | None, key: str, fingerprint: str, rejected: CommandRejected | None
    ) -> Outcome:
        """Store the outcome of a request that recorded no events, and raise the rejection, if any.

        If two duplicates run at the same time, one may be rejected and the other may append events.
        The first request to store an outcome decides for both, so an earlier outcome is returned or
        raised instead.
        """
        # One key contains the request and its rejection, so no crash or expiry can separate them.
        record: list[Any] = [checked_fingerprint(fingerprint), 0, 0]
        if rejected is not None:
            # UTF-8 cannot encode a lone surrogate, which a client may have sent as an escape.
            text = str(rejected).encode(errors="backslashreplace").decode()
            record += [_name_of(type(rejected)), text, _plain(vars(rejected))]
        mine = encode_json(record)
        first = self._first(self._keys.idempotency(id, key), mine)
        if first is None and rejected is not None:
            raise rejected
        return self.outcome(id, key, first or mine, fingerprint)

    def outcome(self, id: str | None, key: str, record: bytes, fingerprint: str | None) -> Outcome:
        """Return the outcome in a record, or raise the same errors as ``lookup``."""
        first = msgspec.json.decode(record, type=Outcome)
        if fingerprint is not None and first.fingerprint != fingerprint:
            raise IdempotencyKeyReused(self._keys.category if id is None else id, key)
        if first.rejection:
            raise _restored(first)
        return first

    def claim(self, key: str, id: str, request: str) -> None:
        """Claim a key for one request in the whole category, not only in one aggregate.

        The other idempotency records are per aggregate, and make it safe to repeat a request. A
        claim only detects that a key is used for two requests. Raises IdempotencyKeyReused in that
        case.
        """
        mine = _hash(f"{request} {id}").encode()
        if self._first(self._keys.claim(key), mine) not in (None, mine):
            raise IdempotencyKeyReused(id, key)

    def _first(self, name: bytes, mine: bytes) -> Any:
        # Write the record only if the key is new; otherwise, return the stored record.
        command = "SET", name, mine, "NX", "GET", "EX", KEY_SECONDS
        return self._redis.execute_command(*command, **FIRST)


def place_record(fingerprint: str, after: int, count: int) -> bytes:
    """Return the record of a request whose ``count`` events follow the version ``after``."""
    return encode_json([fingerprint, after, count])


def checked_fingerprint(fingerprint: str) -> str:
    """Return a fingerprint unchanged, or raise InvalidName if it is not a valid name.

    An empty fingerprint is valid: a Repository uses it for "any request with this key".
    """
    if fingerprint != "":
        checked_name(fingerprint, "fingerprint")
    return fingerprint


def commit_record(fingerprint: str, places: Sequence[tuple[str, int, int]]) -> bytes:
    """Return the record of a commit.

    ``places`` has each aggregate's id, previous version and number of events.
    """
    return encode_json([fingerprint, 0, 0, "", "", {}, places])


def fingerprint_of(events: Sequence[Event], ids: Sequence[str] = ()) -> str:
    """Return a fingerprint that identifies a request by its events.

    For a commit, ``ids`` contains the aggregate id of each event.
    """
    # The meta is not included, because a repeat may have a different correlation id.
    known = [(event.type, event.data) for event in events]
    return _hash(json.dumps([*known, ids] if ids else known, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    """Return only the values that survive a JSON round trip unchanged."""
    kept = {}
    for name, value in values.items():
        try:
            kept[name] = plain_json(value, name)[1]
        except InvalidEvent:
            continue
    return kept


# ------------------------------------------------------------------ classes of rejections


def _restored(first: Outcome) -> CommandRejected:
    kind = _class_named(first.rejection)
    # Only the text and the data are stored, not the arguments, so __init__ cannot be called.
    rejection = kind.__new__(kind, first.text)
    vars(rejection).update(first.data)
    return rejection


def _name_of(kind: type[CommandRejected]) -> str:
    # The plain name, unless another class has the same name.
    plain = kind.__name__
    return plain if _class_named(plain) is kind else _qualified(kind)


def _class_named(name: str) -> type[CommandRejected]:
    """Return the rejection class with this name, or CommandRejected if there is none."""
    found = CommandRejected
    for kind in _subclasses(CommandRejected):
        if _qualified(kind) == name:
            return kind
        if kind.__name__ == name:
            found = kind
    return found


def _subclasses(kind: type[CommandRejected]) -> Iterator[type[CommandRejected]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _qualified(kind: type[CommandRejected]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
