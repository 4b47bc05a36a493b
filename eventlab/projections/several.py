"""``Several`` follows several streams for one view, and applies a batch of each stream in turn.

The positions of a joined view are in one checkpoint document. So only one projector is active at a
time, and a rebuild stops all streams and replaces all documents at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from eventlab.projections.follower import Follower
from eventlab.projections.following import Following

F = TypeVar("F", bound=Follower)


class Several(Following, Generic[F]):
    """One or more ``Follower`` objects, each for one stream, that share a session."""

    def __init__(self, parts: Sequence[F]) -> None:
        super().__init__(parts[0].name, parts[0]._session)
        self._parts = parts

    def run_once(self) -> int:
        """Apply the next batch of each stream and return how many events were applied."""
        return sum(part.run_once() for part in self._parts)

    def _followers(self) -> Sequence[F]:
        return self._parts
