"""The interface between a store and the ``Protection`` that encrypts personal fields of events."""

from __future__ import annotations

from typing import Protocol

from eventlab.events import Event, Recorded


class Protects(Protocol):
    """The methods of a ``Protection``; see ``eventlab.privacy.protection.Protection``."""

    def seal(self, id: str, event: Event) -> Event:
        """Return an event with its protected fields encrypted."""

    def reveal(self, event: Recorded) -> Recorded:
        """Return a stored event with its protected fields decrypted."""
