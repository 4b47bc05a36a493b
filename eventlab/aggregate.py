"""An aggregate: it decides, and its state is what its events made of it."""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable
from typing import Any, Self

from eventlab.events import Data, Event, Recorded

_PLAIN = (str, int, float, bool, type(None))
_OURS = frozenset({"id", "version", "position", "changes"})


class Aggregate(abc.ABC):
    """The base of aggregates: a method decides and calls ``record``; ``apply`` evolves the state and nothing else.

    ``version`` counts every event applied, ``position`` is that of the newest stored one, ``changes`` are the events
    recorded since: not stored yet. A replay and a live decision go through the same ``apply``.

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
        """Evolve the state by one event. No rule, no refusal: the event has happened."""

    def record(self, type: str, data: Data | None = None) -> None:
        """Take a decision down as an event and apply it."""
        # Two, with data of their own: apply may take its data as state, and change it.
        event, kept = Event(type, data or {}), Event(type, copy.deepcopy(data or {}))
        self.apply(event)
        self.version += 1
        self.changes.append(kept)

    def replay(self, events: Iterable[Recorded]) -> Self:
        """Apply stored events, in their order, and return the aggregate."""
        event = None
        for event in events:
            self.apply(event)
        if event is not None:
            self.version, self.position = event.version, event.position
        return self

    def copy(self) -> Self:
        """One that changes by itself: what is not plain is copied, down to its depth."""
        twin = copy.copy(self)
        memo = {
            id(self): twin
        }  # one for all attributes: they may share a value, or hold a method of this one
        for name, value in vars(self).items():
            if not isinstance(value, _PLAIN):
                setattr(twin, name, copy.deepcopy(value, memo))
        return twin

    def state(self) -> dict[str, Any]:
        """The state as plain data, for a snapshot: every attribute that is not of this base class."""
        return {name: value for name, value in vars(self).items() if name not in _OURS}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        vars(self).update(state)
