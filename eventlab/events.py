"""New events (Event), stored events (Recorded), and their JSON on the wire.

This module does not use Redis. It rejects values that a JSON round trip would change, because a
replay must see the same values as the live code.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

from eventlab.errors import CorruptEvent, InvalidEvent

Data = dict[str, Any]

MAX_EVENT_BYTES = 1_048_576
MAX_TYPE_BYTES = 256
MAX_DEPTH = 100  # low enough for a reader whose call stack is already deep
#: The meta that says what caused the events that this thread appends (see store/causes.py).
CAUSE: ContextVar[Data | None] = ContextVar("CAUSE", default=None)
RESERVED = frozenset({"id", "version", "type"})  # these keys share a JSON object with the payload


class Event(msgspec.Struct, frozen=True, repr_omit_defaults=True, gc=False):
    """An event that has happened but is not stored yet: a type and a payload.

    ``data`` must contain only values that JSON can represent: dicts with str keys, lists, and str,
    int, finite float, bool or None values. ``data`` must not have the keys ``id``, ``version`` or
    ``type``. ``meta`` contains metadata about the event, such as a ``correlation_id``.

    >>> Event("deposit", {"amount": 100})
    Event(type='deposit', data={'amount': 100})
    """

    type: str
    data: Data = {}
    meta: Data | None = None


class Recorded(msgspec.Struct, frozen=True, repr_omit_defaults=True, gc=False):
    """A stored event: ``(id, version)`` identifies it; ``position`` gives its order and time.

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
        """The UTC time when the event was stored, to the millisecond, taken from its position."""
        return datetime.fromtimestamp(int(self.position.partition("-")[0]) / 1000, UTC)


class Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An element of an aggregate log; its index in the log, counted from 1, is its version."""

    position: str
    type: str
    data: Data
    token: str
    meta: Data | None = None


class Batch(msgspec.Struct, frozen=True):
    """Copies of the events to append, and ``width`` JSON strings per event for the Lua script."""

    events: list[Event]
    texts: list[bytes]
    width: int


# gc=False: JSON has no cycles, so the collector need not visit a log of a million events.

#: For values that are known to contain only JSON types.
encode_json: Callable[[object], bytes] = msgspec.json.Encoder().encode
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_decode = msgspec.json.Decoder().decode
_decode_data = msgspec.json.Decoder(Data).decode
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_decode_rows = msgspec.json.Decoder(list[Row]).decode


def encode_batch(events: Sequence[Event], id: str | None = None) -> Batch:
    """Return the events of a batch, checked and encoded.

    Raises InvalidEvent, which gives the index of the invalid event and, if ``id`` is given, the id
    of the aggregate.
    """
    # Check for a list first: checking for a Sequence takes as long as encoding an event.
    if not isinstance(events, list) and (
        isinstance(events, Event) or not isinstance(events, Sequence)
    ):
        raise InvalidEvent(
            f"append takes a list of events, not {type(events).__name__}: write [Event(...)]"
        )
    if not events:
        raise InvalidEvent("the batch is empty: append at least one event")
    copies: list[Event] = []
    texts: list[bytes] = []
    cause = CAUSE.get()
    for place, event in enumerate(events):
        if not isinstance(event, Event):
            raise InvalidEvent(f"event {place} must be an Event, not {type(event).__name__}")
        meta_text = b""
        meta = event.meta
        if cause is not None and isinstance(meta, dict | None):
            meta = cause | (meta or {})
        try:
            type_text = _encode_type(event.type)
            data_text, data = _encode_payload(event.data)
            if meta is not None:
                if not isinstance(meta, dict):
                    raise InvalidEvent(f"meta must be a dict or None, not {type(meta).__name__}")
                meta_text, meta = _encode_sized(meta, "meta")
        except (InvalidEvent, TypeError) as error:
            of = "" if id is None else f" of {id!r:.60}"
            raise InvalidEvent(f"event {place}{of} ({event.type!r:.60}): {error}") from error
        copies.append(Event(event.type, data, meta))
        texts += (type_text, data_text, meta_text)
    if any(texts[2::3]):
        return Batch(copies, texts, 3)
    del texts[2::3]
    return Batch(copies, texts, 2)


@functools.lru_cache(maxsize=1024)
def _encode_type(type: str) -> bytes:
    if not isinstance(type, str) or not type:
        raise InvalidEvent("the type must be a non-empty string")
    text, _ = plain_json(type, "the type")
    if len(text) > MAX_TYPE_BYTES:
        raise InvalidEvent(f"the type is {len(text)} bytes of JSON: the limit is {MAX_TYPE_BYTES}")
    return text


def _encode_payload(data: object) -> tuple[bytes, Data]:
    if not isinstance(data, dict):
        raise InvalidEvent(f"data must be a dict, not {type(data).__name__}")
    if not RESERVED.isdisjoint(data):
        reserved = ", ".join(sorted(RESERVED & data.keys()))
        raise InvalidEvent(f"data has reserved keys ({reserved}): rename them")
    return _encode_sized(data, "data")


def _encode_sized(value: object, what: str) -> tuple[bytes, Any]:
    text, back = plain_json(value, what)
    if len(text) > MAX_EVENT_BYTES:
        raise InvalidEvent(
            f"{what} is {len(text):,} bytes of JSON: the limit is {MAX_EVENT_BYTES:,}"
        )
    return text, back


def plain_json(value: object, what: str) -> tuple[bytes, Any]:
    """Return the JSON of a value, and the value that the JSON decodes to.

    Raises InvalidEvent if the value cannot be encoded, is nested too deeply, or is not equal to the
    decoded value. ``what`` names the value in the error.
    """
    # Encoders silently change values (NaN to null, a tuple to a list, 1 to "1" as a key); only a
    # round trip reveals these changes.
    try:
        text = encode_json(value)
        back = _decode(text)
        same = back == value
        deep = text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(back) > MAX_DEPTH
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidEvent(f"{what} is not JSON-serializable: {error}") from error
    if deep:
        raise InvalidEvent(f"{what} is nested more than {MAX_DEPTH} levels deep")
    if not same:
        raise InvalidEvent(
            f"{what} would be different after a JSON round trip: use only dicts with str keys, "
            "lists, and str, int, finite float, bool or None values"
        )
    return text, back


def _depth(value: Any) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def as_recorded(
    id: str, events: list[Event], after: int, first: bytes, before: int = 0
) -> list[Recorded]:
    """Return the events that an append wrote to one aggregate, as Recorded events.

    ``after`` is the version of the aggregate before the append, and ``first`` is the position of
    the first event of the append. ``before`` is the number of events that the same append wrote to
    other aggregates before these events.
    """
    milliseconds, _, sequence = first.decode().partition("-")
    at = int(sequence) + before - after - 1
    return [
        Recorded(id, version, event.type, event.data, f"{milliseconds}-{at + version}", event.meta)
        for version, event in enumerate(events, after + 1)
    ]


def decode_rows(elements: Sequence[bytes], where: str) -> list[Row]:
    """Decode elements of an aggregate log, all at once.

    Raises CorruptEvent if an element is not a valid row; the error contains ``where``.
    """
    try:
        return _decode_rows(b"[" + b",".join(elements) + b"]")
    except UNREADABLE as error:
        raise CorruptEvent(where, str(error)) from error


def decode_entry(position: bytes, fields: Mapping[bytes, bytes]) -> Recorded:
    """Decode a category stream entry that eventlab or the original Node.js program wrote.

    Raises CorruptEvent if the entry is not an event.
    """
    at = position.decode()
    try:
        text = fields[b"event"]
        try:
            data = _decode_data(text)
        except msgspec.DecodeError:
            data = _decode_original(text)
        id = data.pop("id")
        version = data.pop("version")
        type_ = data.pop("type")
        meta = _decode_data(fields[b"meta"]) if b"meta" in fields else None
    except KeyError as error:
        raise CorruptEvent(at, f"{error} is missing") from error
    except UNREADABLE as error:
        raise CorruptEvent(at, str(error)) from error
    if not (isinstance(id, str) and type(version) is int and isinstance(type_, str)):
        raise CorruptEvent(at, "id and type must be strings, and version must be an integer")
    return Recorded(id, version, type_, data, at, meta)


def _decode_original(text: bytes) -> Data:
    # JSON.stringify writes a lone surrogate (half an emoji) as an escape that UTF-8 cannot encode.
    # Node.js replaces the surrogate when it encodes UTF-8, and so does this function.
    if b"\\ud" in text.lower():
        whole = json.dumps(json.loads(text), ensure_ascii=False)
        return _decode_data(_HALF_PAIR.sub("\ufffd", whole))
    return _decode_data(text)
