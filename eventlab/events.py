"""An event: new (Event) and stored (Recorded), and the JSON it is on the wire.

This page knows no Redis. It refuses what JSON cannot carry there and back, because a replay must see what the
live code saw.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from eventlab.errors import CorruptEvent, InvalidEvent

Data = dict[str, Any]

MAX_EVENT_BYTES = 1_048_576
MAX_TYPE_BYTES = 256
MAX_DEPTH = 100  # who reads may stand deep in calls of his own
RESERVED = frozenset({"id", "version", "type"})  # they stand beside the payload on the wire


class Event(msgspec.Struct, frozen=True, repr_omit_defaults=True, gc=False):
    """Something that happened, not stored yet: a type and its payload.

    ``data`` is what JSON can say: dict with str keys, list, str, int, float, bool, None; without the keys ``id``,
    ``version`` and ``type``. ``meta`` is for what is known about the event, such as ``correlation_id``.

    >>> Event("deposit", {"amount": 100})
    Event(type='deposit', data={'amount': 100})
    """

    type: str
    data: Data = {}
    meta: Data | None = None


class Recorded(msgspec.Struct, frozen=True, repr_omit_defaults=True, gc=False):
    """A stored event: ``(id, version)`` is its identity, ``position`` its place in the category and its time.

    >>> Recorded("JohnDoe", 2, "deposit", {"amount": 100}, "1551312827949-0").time.isoformat()
    '2019-02-28T00:13:47.949000+00:00'
    """

    id: str
    version: int
    type: str
    data: Data
    position: str
    meta: Data | None = None

    @property
    def time(self) -> datetime:
        """When it was stored, in UTC, to the millisecond (a position begins with it)."""
        return datetime.fromtimestamp(int(self.position.partition("-")[0]) / 1000, UTC)


class Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An element of an own log; its id is the log's, its version the element's place."""

    position: str
    type: str
    data: Data
    token: str
    meta: Data | None = None


class Batch(msgspec.Struct, frozen=True):
    """Events as they were given (copies), and as the append script takes them: ``width`` JSON texts for each."""

    events: list[Event]
    texts: list[bytes]
    width: int


# gc=False: JSON has no cycles, so the collector need not look through a log of a million events.

encode_json: Callable[[object], bytes] = (
    msgspec.json.Encoder().encode
)  # for what is known to be plain
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder().decode
_decode_data = msgspec.json.Decoder(Data).decode
_decode_rows = msgspec.json.Decoder(list[Row]).decode


def encode_batch(events: Sequence[Event]) -> Batch:
    """Check every event and encode it; raises InvalidEvent, naming the event by its place."""
    # A list first: to ask whether something is a Sequence takes as long as to encode an event.
    if not isinstance(events, list) and (
        isinstance(events, Event) or not isinstance(events, Sequence)
    ):
        raise InvalidEvent(
            f"append takes a list of events, not {type(events).__name__}: write [Event(...)]"
        )
    if not events:
        raise InvalidEvent("an empty batch: give at least one event")
    copies: list[Event] = []
    texts: list[bytes] = []
    for place, event in enumerate(events):
        if not isinstance(event, Event):
            raise InvalidEvent(f"event {place}: expected an Event, got {type(event).__name__}")
        meta_text, meta = b"", event.meta
        try:
            type_text = _encode_type(event.type)
            data_text, data = _encode_payload(event.data)
            if meta is not None:
                if not isinstance(meta, dict):
                    raise InvalidEvent(f"meta must be a dict or None, not {type(meta).__name__}")
                meta_text, meta = _encode_sized(meta, "meta")
        except (InvalidEvent, TypeError) as error:
            raise InvalidEvent(f"event {place} ({event.type!r:.60}): {error}") from error
        copies.append(Event(event.type, data, meta))
        texts += (type_text, data_text, meta_text)
    if any(texts[2::3]):
        return Batch(copies, texts, 3)
    del texts[2::3]
    return Batch(copies, texts, 2)


@functools.lru_cache(maxsize=1024)
def _encode_type(type: str) -> bytes:
    if not isinstance(type, str) or not type:
        raise InvalidEvent("the type must be a text that is not empty")
    text, _ = plain_json(type, "the type")
    if len(text) > MAX_TYPE_BYTES:
        raise InvalidEvent(f"the type is over {MAX_TYPE_BYTES} bytes")
    return text


def _encode_payload(data: object) -> tuple[bytes, Data]:
    if not isinstance(data, dict):
        raise InvalidEvent(f"data must be a dict, not {type(data).__name__}")
    if not RESERVED.isdisjoint(data):
        raise InvalidEvent(
            f"data may not hold the keys {', '.join(sorted(RESERVED & data.keys()))}: rename them"
        )
    return _encode_sized(data, "data")


def _encode_sized(value: object, what: str) -> tuple[bytes, Any]:
    text, back = plain_json(value, what)
    if len(text) > MAX_EVENT_BYTES:
        raise InvalidEvent(
            f"{what} has {len(text):,} bytes of JSON, over the limit of {MAX_EVENT_BYTES:,}"
        )
    return text, back


def plain_json(value: object, what: str) -> tuple[bytes, Any]:
    """The JSON of a value, and what it reads back as; raises InvalidEvent when the two are not the same."""
    # Encoders bend in silence (NaN to null, a tuple to a list, 1 to "1" as a key); what comes back tells.
    try:
        text = encode_json(value)
        back = _decode(text)
        same = back == value
        deep = text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(back) > MAX_DEPTH
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidEvent(f"{what} is not what JSON can say: {error}") from error
    if deep:
        raise InvalidEvent(f"{what} is nested more than {MAX_DEPTH} deep")
    if not same:
        raise InvalidEvent(
            f"{what} comes back from JSON changed: use dict with str keys, list, str, int, finite float, bool and None"
        )
    return text, back


def _depth(value: Any) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def decode_rows(elements: Sequence[bytes], where: str) -> list[Row]:
    """Elements of an own log as rows, in one decode of them all; raises CorruptEvent."""
    try:
        return _decode_rows(b"[" + b",".join(elements) + b"]")
    except UNREADABLE as error:
        raise CorruptEvent(where, str(error)) from error


def decode_entry(position: bytes, fields: Mapping[bytes, bytes]) -> Recorded:
    """An entry of a category stream, ours or the original's, as an event; raises CorruptEvent."""
    at = position.decode()
    try:
        data = _decode_data(fields[b"event"])
        id, version, kind = data.pop("id"), data.pop("version"), data.pop("type")
        meta = _decode_data(fields[b"meta"]) if b"meta" in fields else None
    except KeyError as error:
        raise CorruptEvent(at, f"{error} is missing") from error
    except UNREADABLE as error:
        raise CorruptEvent(at, str(error)) from error
    if not (isinstance(id, str) and type(version) is int and isinstance(kind, str)):
        raise CorruptEvent(at, "id and type must be texts, version a whole number")
    return Recorded(id, version, kind, data, at, meta)
