"""What a store asks of a protection, which encrypts personal fields of events."""

from __future__ import annotations

from typing import Protocol

from eventlab.events import Event, Recorded


class Protects(Protocol):
    """Encrypts fields of an event before it is stored: an ``eventlab.privacy`` Protection."""

    def seal(self, id: str, event: Event) -> Event:
        """Return the event as it is stored."""

    def reveal(self, event: Recorded) -> Recorded:
        """Return a stored event as readers see it."""
