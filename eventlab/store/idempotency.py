"""Idempotency keys: for a day, the first outcome of a request is the outcome of its repeats.

The record under a key is a JSON array: ``[fingerprint, after, count]`` says which request the key
belongs to and where its events are. A rejection has three more elements:
``[fingerprint, 0, 0, class name, text, data]``. A commit to several aggregates has a seventh
element, which says where its events are:
``[fingerprint, 0, 0, "", "", {}, [[id, after, count], …]]``.

A key belongs to an aggregate. The key of a commit belongs to the whole category, and its ``id`` is
None.
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
FIRST: Final[dict[str, Any]] = {**RAW, "get": True}  # else redis-py turns the old value into a bool


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """The record under an idempotency key: events ``after`` a version, or a rejection.

    The events of a commit are at ``places``: id, version, count.
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

    An append writes its own record, in the same script as its events. Everything else about keys
    is done here.
    """

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def lookup(self, id: str | None, key: str, *, fingerprint: str | None) -> Outcome | None:
        """Return where the events of the first request are, or None for a new key.

        Raises IdempotencyKeyReused if a ``fingerprint`` is given and is not that of the first
        request, and raises the rejection again if the first request was rejected.
        """
        record = self._redis.execute_command("GET", self._keys.idempotency(id, key), **RAW)
        return None if record is None else self.outcome(id, key, record, fingerprint)

    def keep(
        self, id: str | None, key: str, fingerprint: str, rejected: CommandRejected | None
    ) -> Outcome:
        """Keep the outcome of a request that recorded no event; raises a given rejection.

        Of two duplicates that run at once, one may be rejected and the other stored. The one that
        takes the key first decides for both, so an earlier outcome is returned, or raised, instead.
        """
        # It is all in one key, so no crash or expiry can separate the request from its rejection.
        record: list[Any] = [checked_fingerprint(fingerprint), 0, 0]
        if rejected is not None:
            # UTF-8 cannot hold half an emoji, which a client may have sent as an escape.
            text = str(rejected).encode(errors="backslashreplace").decode()
            record += [_name_of(type(rejected)), text, _plain(vars(rejected))]
        mine = encode_json(record)
        first = self._first(self._keys.idempotency(id, key), mine)
        if first is None and rejected is not None:
            raise rejected
        return self.outcome(id, key, first or mine, fingerprint)

    def outcome(self, id: str | None, key: str, record: bytes, fingerprint: str | None) -> Outcome:
        """Decode a record; raises the same errors as ``lookup``."""
        first = msgspec.json.decode(record, type=Outcome)
        if fingerprint is not None and first.fingerprint != fingerprint:
            raise IdempotencyKeyReused(self._keys.category if id is None else id, key)
        if first.rejection:
            raise _restored(first)
        return first

    def claim(self, key: str, id: str, request: str) -> None:
        """Claim a key for one request in the whole category, whichever aggregate it is about.

        The other records are per aggregate and make a repeat harmless. A claim only detects
        a key that is used for two aggregates, and raises IdempotencyKeyReused for it.
        """
        mine = _hash(f"{request} {id}").encode()
        if self._first(self._keys.claim(key), mine) not in (None, mine):
            raise IdempotencyKeyReused(id, key)

    def _first(self, name: bytes, mine: bytes) -> Any:
        # Writes a record only under a new key; otherwise returns the stored one.
        return self._redis.execute_command(
            "SET", name, mine, "NX", "GET", "EX", KEY_SECONDS, **FIRST
        )


def place_record(fingerprint: str, after: int, count: int) -> bytes:
    """Return the record of a request whose ``count`` events follow a version."""
    return encode_json([fingerprint, after, count])


def checked_fingerprint(fingerprint: str) -> str:
    """Return a fingerprint unchanged; raises InvalidName if it is not text.

    An empty one is valid: a Repository uses it for "any request with this key".
    """
    if fingerprint != "":
        checked_name(fingerprint, "fingerprint")
    return fingerprint


def commit_record(fingerprint: str, places: Sequence[tuple[str, int, int]]) -> bytes:
    """Return the record of a commit; ``places`` has id, version and event count per aggregate."""
    return encode_json([fingerprint, 0, 0, "", "", {}, places])


def fingerprint_of(events: Sequence[Event], ids: Sequence[str] = ()) -> str:
    """Return the fingerprint of a request that only its events identify.

    For a commit, ``ids`` has the aggregate of each event.
    """
    # Without meta: a repeat may have another correlation id.
    known = [(event.type, event.data) for event in events]
    return _hash(json.dumps([*known, ids] if ids else known, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    """Return the values that JSON brings back unchanged; the others are not kept."""
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
    # Only the text and the data are stored, not the arguments: so __init__ cannot be called.
    rejection = kind.__new__(kind, first.text)
    vars(rejection).update(first.data)
    return rejection


def _name_of(kind: type[CommandRejected]) -> str:
    # The plain name, unless another class has the same name.
    plain = kind.__name__
    return plain if _class_named(plain) is kind else _qualified(kind)


def _class_named(name: str) -> type[CommandRejected]:
    """Return a class of rejections by name; CommandRejected if this process does not have it."""
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
