"""``CheckedStore``, a base class for an event store of your own."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence

from eventlab.errors import InvalidArgument, TokenReused
from eventlab.events import Event, Recorded, encode_batch
from eventlab.store.keys import START, checked_counts, checked_name, checked_position, order
from eventlab.store.store import Expected


class CheckedStore:
    """The base class of a store of your own, which checks arguments as ``EventStore`` does.

    A subclass implements ``write``, which accepts or rejects an append, and ``recorded``, which
    returns the events. Both get valid arguments only. All methods pass copies of events, so that
    callers cannot change what is stored. All other methods read all events: override the ones for
    which that is too slow. ``eventlab.lessons.little_store`` contains a store that keeps its events
    in a list, and meets ``StoreContract``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def write(
        self, id: str, events: list[Event], expected: int | Expected, token: str | None
    ) -> list[Recorded]:
        """Add the events, unless the append is a repeat or is rejected with an error.

        Returns the recorded events. Only one thread at a time calls this method.
        """
        raise NotImplementedError

    def recorded(self) -> Sequence[Recorded]:
        """Return all events of the category, in commit order.

        Other threads may call this method during a ``write``, so return complete appends only.
        Positions have the form ``milliseconds-sequence``; they ascend and are above ``0-0``.
        """
        raise NotImplementedError

    def append(
        self,
        id: str,
        events: Sequence[Event],
        *,
        expected: int | Expected,
        token: str | None = None,
    ) -> list[Recorded]:
        """Store all or none of the events as the next versions of one aggregate.

        Raises InvalidName, InvalidEvent, InvalidArgument, and the errors of ``write``.
        """
        batch = encode_batch(events).events
        is_version = type(expected) is int and 0 <= expected < 2**53
        if not is_version and not isinstance(expected, Expected):
            raise InvalidArgument(f"expected={expected!r} must be a version, EXISTS or ANY")
        checked_name(id, "id")
        if token is not None:
            checked_name(token, "token")
        with self._lock:
            return copy.deepcopy(self.write(id, batch, expected, token))

    def read(
        self, id: str, *, after: int = 0, limit: int | None = None, reverse: bool = False
    ) -> list[Recorded]:
        """Return the events of one aggregate with versions above ``after``.

        Raises InvalidName and InvalidArgument.
        """
        checked_name(id, "id")
        checked_counts(after=after, limit=limit)
        found = [event for event in self.recorded() if event.id == id and event.version > after]
        return copy.deepcopy((found[::-1] if reverse else found)[:limit])

    def read_all(self, *, after: str = START, limit: int | None = None) -> list[Recorded]:
        """Return the events after a position, in commit order; raise InvalidArgument."""
        checked_counts(limit=limit)
        start = order(checked_position(after))
        found = [event for event in self.recorded() if order(event.position) > start]
        return copy.deepcopy(found[:limit])

    def version(self, id: str) -> int:
        """Return the number of events of an aggregate; raise InvalidName."""
        return len(self.read(id))

    def ids(self) -> list[str]:
        """Return the ids of all aggregates, sorted."""
        return sorted({event.id for event in self.recorded()})

    def head(self) -> str:
        """Return the newest position, or ``0-0`` before the first event."""
        events = self.recorded()
        return events[-1].position if events else START


def repeated(earlier: list[Recorded], events: list[Event]) -> list[Recorded]:
    """Return ``earlier``, the events of an earlier append with the same token (at least one).

    Raises TokenReused if ``events`` are not the events of that append.

    >>> repeated([Recorded("JohnDoe", 1, "create", {}, "1-0")], [Event("create")])
    [Recorded(id='JohnDoe', version=1, type='create', data={}, position='1-0')]
    """
    found = [(event.type, event.data, event.meta) for event in earlier]
    if found != [(event.type, event.data, event.meta) for event in events]:
        raise TokenReused(earlier[0].id, earlier[0].version)
    return earlier
