"""An aggregate: it makes decisions, and its state derives from its events."""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable
from typing import Any, Self

from eventlab.events import Data, Event, Recorded

_PLAIN = (str, int, float, bool, type(None))
_OURS = frozenset({"id", "version", "position", "changes"})


class Aggregate(abc.ABC):
    """The base of aggregates: a method decides and records; only ``apply`` changes the state.

    ``version`` counts the applied events, ``position`` is that of the newest stored event, and
    ``changes`` are the events recorded since then, which are not stored yet. A replay and a live
    decision use the same ``apply``.

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

    def __init__(self, id: str) -> None:
        self.id = id
        self.version = 0
        self.position = "0-0"
        self.changes: list[Event] = []

    @abc.abstractmethod
    def apply(self, event: Event | Recorded) -> None:
        """Change the state by one event. Reject nothing here: the event has happened."""

    def record(self, type: str, data: Data | None = None) -> None:
        """Record a decision as an event, and apply it."""
        # Two copies of the data: apply may keep one as state and change it later.
        event = Event(type, data or {})
        kept = Event(type, copy.deepcopy(data or {}))
        self.apply(event)
        self.version += 1
        self.changes.append(kept)

    def replay(self, events: Iterable[Recorded]) -> Self:
        """Apply stored events, in order, and return the aggregate itself."""
        event = None
        for event in events:
            self.apply(event)
        if event is not None:
            self.version = event.version
            self.position = event.position
        return self

    def copy(self) -> Self:
        """Return an independent copy; values that are not plain are copied deeply."""
        other = copy.copy(self)
        # One memo for all attributes: they may share a value, or hold a method of this aggregate.
        memo = {id(self): other}
        for name, value in vars(self).items():
            if not isinstance(value, _PLAIN):
                setattr(other, name, copy.deepcopy(value, memo))
        return other

    def state(self) -> dict[str, Any]:
        """Return the state for a snapshot: every attribute that is not of this base class."""
        return {name: value for name, value in vars(self).items() if name not in _OURS}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state of a snapshot."""
        vars(self).update(state)
