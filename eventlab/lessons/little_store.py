"""A small in-memory event store that meets ``eventlab.testing.StoreContract``."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence

from eventlab.errors import InvalidArgument, TokenReused, VersionConflict
from eventlab.events import Event, Recorded, encode_batch
from eventlab.store.keys import START, checked_counts, checked_name, checked_position, order
from eventlab.store.store import ANY, EXISTS, Expected


class UnfinishedStore:
    """A store that keeps the events of one category in a list but cannot append them yet.

    A subclass must implement ``write``, which accepts or rejects an append. ``write`` gets valid
    arguments, one call at a time, and may use ``version``, ``written_with`` and ``add``.
    """

    def __init__(self) -> None:
        self._events: list[Recorded] = []
        self._tokens: dict[tuple[str, int], str | None] = {}
        self._lock = threading.Lock()

    def write(
        self, id: str, events: list[Event], expected: int | Expected, token: str | None
    ) -> list[Recorded]:
        """Add the events, unless the append is a repeat or is rejected with an error.

        Returns the recorded events.
        """
        raise NotImplementedError

    def written_with(self, id: str, token: str | None) -> list[Recorded]:
        """Return the events of an aggregate that were added with this token."""
        return [e for e in self.read(id) if token and self._tokens[id, e.version] == token]

    def add(self, id: str, events: Sequence[Event], token: str | None = None) -> list[Recorded]:
        """Store the events as the next versions of an aggregate."""
        version = self.version(id)
        recorded = [
            Recorded(id, version + n, event.type, event.data, self._position(n), event.meta)
            for n, event in enumerate(events, 1)
        ]
        self._tokens |= {(id, event.version): token for event in recorded}
        self._events += recorded
        return copy.deepcopy(recorded)

    def append(
        self,
        id: str,
        events: Sequence[Event],
        *,
        expected: int | Expected,
        token: str | None = None,
    ) -> list[Recorded]:
        """Store all or none of the events as the next versions of one aggregate."""
        batch = encode_batch(events).events
        is_version = type(expected) is int and 0 <= expected < 2**53
        if not is_version and not isinstance(expected, Expected):
            raise InvalidArgument(f"expected={expected!r} must be a version, EXISTS or ANY")
        checked_name(id, "id")
        with self._lock:
            return self.write(id, batch, expected, token)

    def _position(self, n: int) -> str:
        return f"{len(self._events) + n}-0"

    def read(
        self, id: str, *, after: int = 0, limit: int | None = None, reverse: bool = False
    ) -> list[Recorded]:
        """Return the events of one aggregate with versions above ``after``."""
        checked_name(id, "id")
        checked_counts(after=after, limit=limit)
        found = [event for event in self._events if event.id == id and event.version > after]
        return copy.deepcopy((found[::-1] if reverse else found)[:limit])

    def read_all(self, *, after: str = START, limit: int | None = None) -> list[Recorded]:
        """Return the events after a position, in commit order."""
        checked_counts(limit=limit)
        start = order(checked_position(after))
        found = [event for event in self._events if order(event.position) > start]
        return copy.deepcopy(found[:limit])

    def version(self, id: str) -> int:
        """Return the number of events of an aggregate."""
        return len(self.read(id))

    def ids(self) -> list[str]:
        """Return the ids of all aggregates, sorted."""
        return sorted({event.id for event in self._events})

    def head(self) -> str:
        """Return the newest position."""
        return self._events[-1].position if self._events else START


def repeated(earlier: list[Recorded], events: list[Event]) -> list[Recorded]:
    """Return the events of an earlier append; raise TokenReused if ``events`` are different."""
    found = [(event.type, event.data, event.meta) for event in earlier]
    if found != [(event.type, event.data, event.meta) for event in events]:
        raise TokenReused(earlier[0].id, earlier[0].version)
    return earlier


class LittleStore(UnfinishedStore):
    """A store that keeps the events of one category in a list.

    >>> from eventlab import NEW
    >>> LittleStore().append("JohnDoe", [Event("create")], expected=NEW)
    [Recorded(id='JohnDoe', version=1, type='create', data={}, position='1-0')]
    """

    def write(
        self, id: str, events: list[Event], expected: int | Expected, token: str | None
    ) -> list[Recorded]:
        """Add the events if the version is as expected, and return the recorded events.

        For a repeat, return the events that were added with the token.
        """
        version = self.version(id)
        if earlier := self.written_with(id, token):
            return repeated(earlier, events)
        if version != expected and expected is not ANY and not (version and expected is EXISTS):
            raise VersionConflict(id, expected, version)
        return self.add(id, events, token)
