"""A small in-memory event store that meets ``eventlab.testing.StoreContract``."""

from __future__ import annotations

from eventlab import ANY, EXISTS, Event, Expected, Recorded, VersionConflict
from eventlab.testing import CheckedStore, repeated


class UnfinishedStore(CheckedStore):
    """A store that keeps the events of one category in a list but cannot append them yet.

    A subclass must implement ``write``, which accepts or rejects an append. ``write`` gets valid
    arguments, one call at a time, and may use ``version``, ``written_with`` and ``add``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._events: list[Recorded] = []
        self._tokens: dict[str, str | None] = {}  # by position

    def recorded(self) -> list[Recorded]:
        """Return all events, in commit order."""
        return self._events

    def written_with(self, id: str, token: str | None) -> list[Recorded]:
        """Return the events of an aggregate that were added with this token."""
        return [e for e in self.read(id) if token and self._tokens[e.position] == token]

    def add(self, id: str, events: list[Event], token: str | None = None) -> list[Recorded]:
        """Store the events as the next versions of an aggregate."""
        version, head = self.version(id), len(self._events)
        recorded = [
            Recorded(id, version + n, event.type, event.data, f"{head + n}-0", event.meta)
            for n, event in enumerate(events, 1)
        ]
        self._tokens |= {event.position: token for event in recorded}
        self._events += recorded
        return recorded


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
