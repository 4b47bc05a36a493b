"""The methods that the contract requires of a store, and helpers for the tests of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from eventlab.events import Event, Recorded
from eventlab.store.keys import START
from eventlab.store.store import Expected

CREATE: Final = Event("create")


class Store(Protocol):
    """The methods that the contract requires of a store. ``EventStore`` documents them."""

    def append(
        self,
        id: str,
        events: Sequence[Event],
        *,
        expected: int | Expected,
        token: str | None = None,
    ) -> list[Recorded]:
        """Store events as the next versions of an aggregate, all or none."""
        ...

    def read(
        self, id: str, *, after: int = 0, limit: int | None = None, reverse: bool = False
    ) -> list[Recorded]:
        """Return the events of an aggregate."""
        ...

    def read_all(self, *, after: str = START, limit: int | None = None) -> Iterable[Recorded]:
        """Return every event after a position."""
        ...

    def version(self, id: str) -> int:
        """Return the number of events of an aggregate."""
        ...

    def ids(self) -> Sequence[str]:
        """Return the ids of all aggregates."""
        ...

    def head(self) -> str:
        """Return the newest position."""
        ...


def deposits(*amounts: int) -> list[Event]:
    """Return one deposit for each amount.

    >>> deposits(5)
    [Event(type='deposit', data={'amount': 5})]
    """
    return [Event("deposit", {"amount": amount}) for amount in amounts]


def contents(store: Store) -> dict[str, list[Recorded]]:
    """Return the contents of a store: all events in order, and the events of each aggregate."""
    return {"": list(store.read_all())} | {id: store.read(id) for id in store.ids()}
