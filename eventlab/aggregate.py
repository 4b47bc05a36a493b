"""Aggregates, which make decisions and derive their state from events."""

from __future__ import annotations

import abc
import copy
import zlib
from collections.abc import Iterable
from typing import Any, Final, Self

import msgspec

from eventlab.errors import InvalidEvent, InvalidName
from eventlab.events import Data, Event, Recorded, encode_json, plain_json
from eventlab.store.appends import Write

_PLAIN = (str, int, float, bool, type(None))
#: The attribute with the token of the newest stored event; the token identifies the log.
NEWEST_TOKEN: Final = "_newest_token"
# The state at a version. The position and the token of the newest event identify the log.
Snapshot = tuple[int, int, str, dict[str, Any], str]  # schema, version, position, state, token
_decode_snapshot = msgspec.json.Decoder(Snapshot).decode
_OURS = frozenset({"id", "version", "position", "changes", NEWEST_TOKEN})
_METHODS = frozenset({"apply", "copy", "record", "replay", "restore", "state"})


def _ours(name: str) -> Any:
    # Only the library sets this attribute, through vars(). If a subclass could assign it, the
    # library would silently overwrite what the subclass keeps under that name.
    def refuse(aggregate: object, value: object) -> None:  # noqa: ARG001
        raise _taken(type(aggregate), name)

    return property(lambda aggregate: vars(aggregate)[name], refuse)


def _taken(kind: type, name: str) -> InvalidName:
    return InvalidName(f"{kind.__name__} defines {name!r}, which Aggregate reserves: rename it")


class Aggregate(abc.ABC):
    """The base class of aggregates: methods record decisions, and only ``apply`` changes the state.

    ``version`` is the number of applied events, ``position`` is the position of the newest stored
    event, and ``changes`` is the list of recorded events that are not stored yet. Replay and live
    decisions use the same ``apply``.

    >>> class Door(Aggregate):
    ...     def __init__(self, id):
    ...         super().__init__(id)
    ...         self.open = False
    ...     def push(self):
    ...         if not self.open:
    ...             self.record("opened")
    ...     def apply(self, event):
    ...         self.open = event.type == "opened"
    >>> door = Door("front")
    >>> door.push()
    >>> door.open, door.version, door.changes
    (True, 1, [Event(type='opened')])
    """

    id: str = _ours("id")
    version: int = _ours("version")
    position: str = _ours("position")
    changes: list[Event] = _ours("changes")

    def __init__(self, id: str) -> None:
        vars(self).update(id=id, version=0, position="0-0", changes=[])

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        hidden = {name for name in _METHODS if not callable(getattr(cls, name))}
        for name in sorted(hidden | (_OURS & vars(cls).keys())):
            raise _taken(cls, name)

    @abc.abstractmethod
    def apply(self, event: Event | Recorded) -> None:
        """Apply one event to the state.

        Do not reject anything here, because the event has already happened.
        """

    def record(self, type: str, data: Data | None = None) -> None:
        """Record a decision as an event, and apply it."""
        # Copy the data twice: apply may keep its copy as state and change it later. Such a change
        # must not affect the recorded event, or the caller's data, which a retry uses again.
        event = Event(type, copy.deepcopy(data or {}))
        kept = Event(type, copy.deepcopy(data or {}))
        self.apply(event)
        self._check_names()
        vars(self)["version"] += 1
        self.changes.append(kept)

    def replay(self, events: Iterable[Recorded]) -> Self:
        """Apply stored events, in order, and return the aggregate itself."""
        event = None
        for event in events:
            self.apply(event)
        if event is not None:
            self._check_names()
            mark_stored(self, event.version, event.position, None)
        return self

    def _check_names(self) -> None:
        for name in sorted(_METHODS & vars(self).keys()):
            if not callable(vars(self)[name]):  # it hides the method
                raise _taken(type(self), name)

    def copy(self) -> Self:
        """Return an independent copy; mutable values are deep-copied."""
        other = copy.copy(self)
        # Use one memo, because attributes may share a value, or hold a method of this aggregate.
        memo = {id(self): other}
        for name, value in vars(self).items():
            if not isinstance(value, _PLAIN):
                vars(other)[name] = copy.deepcopy(value, memo)
        return other

    def state(self) -> dict[str, Any]:
        """Return the state for a snapshot: all attributes except those of this base class."""
        return {name: value for name, value in vars(self).items() if name not in _OURS}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state from a snapshot."""
        vars(self).update(state)


def snapshot_of(aggregate: Aggregate, schema: int) -> bytes:
    """Return the snapshot of an aggregate, preceded by a checksum.

    Raises InvalidEvent if JSON cannot represent the state exactly.
    """
    state = aggregate.state()
    what = f"the snapshot of {aggregate.id!r}"
    # Equality is not enough: a Counter would come back as a plain dict, and an IntEnum as an int.
    if repr(plain_json(state, what)[1]) != repr(state):
        raise InvalidEvent(f"{what} contains a type that JSON cannot represent")
    token = vars(aggregate)[NEWEST_TOKEN]
    text = encode_json([schema, aggregate.version, aggregate.position, state, token])
    return zlib.crc32(text).to_bytes(4) + text


def restored(aggregate: Aggregate, text: bytes, schema: int) -> bool:
    """Restore a new aggregate from its snapshot; return False if the snapshot cannot be used.

    A snapshot cannot be used if it is damaged, has a different schema or different attributes, or
    comes from an earlier release, which stored no token.
    """
    if zlib.crc32(text[4:]) != int.from_bytes(text[:4]):
        return False
    try:
        written, version, position, state, token = _decode_snapshot(text[4:])
    except msgspec.MsgspecError:
        return False
    aggregate._check_names()
    if written != schema or state.keys() != aggregate.state().keys():
        return False
    aggregate.restore(state)
    mark_stored(aggregate, version, position, token)
    return True


def mark_stored(aggregate: Aggregate, version: int, position: str, token: str | None) -> None:
    """Set an aggregate's version, and the position and token of its newest stored event.

    The token is None if it is not known.
    """
    vars(aggregate).update({"version": version, "position": position, NEWEST_TOKEN: token})


def write_of(aggregate: Aggregate, meta: Data | None) -> Write:
    """Return the changes of an aggregate as a Write; each event gets ``meta``, if any is given."""
    changes = aggregate.changes
    events = [msgspec.structs.replace(event, meta=meta) for event in changes] if meta else changes
    return Write(aggregate.id, events, aggregate.version - len(changes), newest_of(aggregate))


def newest_of(aggregate: Aggregate) -> tuple[str, str] | None:
    """Return the position and token of the newest stored event, or None if the token is unknown."""
    token = vars(aggregate).get(NEWEST_TOKEN)
    return None if token is None else (aggregate.position, token)
