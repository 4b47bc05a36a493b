"""Views: how events change the documents of a MongoDB collection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Protocol

from eventlab.events import Recorded


class Change:
    """What a batch of events does to one document, folded: the least that MongoDB must be told."""

    def __init__(self) -> None:
        self._inc: dict[str, int] = {}
        self._set: dict[str, Any] = {}
        self._push: dict[str, tuple[list[Any], int]] = {}

    def inc(self, field: str, by: int) -> None:
        """Add to a number, which begins at 0."""
        self._only(field, self._inc)
        self._inc[field] = self._inc.get(field, 0) + by

    def set(self, field: str, value: Any) -> None:
        """Put a value."""
        self._only(field, self._set)
        self._set[field] = value

    def push(self, field: str, value: Any, *, keep: int) -> None:
        """Append to a list that keeps its newest ``keep`` values."""
        self._only(field, self._push)
        values, _ = self._push.setdefault(field, ([], keep))
        values.append(value)

    def _only(self, field: str, its: Mapping[str, Any]) -> None:
        for other in (self._inc, self._set, self._push):
            if other is not its and field in other:
                raise ValueError(
                    f"field {field!r}: MongoDB takes one of inc, set and push for a field, not two"
                )

    def update(self) -> dict[str, Any]:
        """The change as a MongoDB update."""
        pushes = {
            field: {"$each": values[-keep:], "$slice": -keep}
            for field, (values, keep) in self._push.items()
        }
        parts = {"$inc": self._inc, "$set": self._set, "$push": pushes}
        return {operator: fields for operator, fields in parts.items() if fields}


class Changes(defaultdict[Any, Change]):
    """The changes of a batch, by the ``_id`` of their documents."""

    def __init__(self) -> None:
        super().__init__(Change)


class View(Protocol):
    """How events change the documents of one MongoDB collection; pure, so a test needs no server.

    ``name`` is the collection's. ``apply`` says what one event changes: all of it by ``changes``, nothing else. What
    it cannot apply it raises, before it changes anything: the view then stops in front of that event.
    """

    name: str

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event into the changes."""
        ...
