"""The time slider: an aggregate's events, and its state and documents at each version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eventlab.aggregate import Aggregate
from eventlab.events import Recorded
from eventlab.lessons.interactive import Interactive, as_table, side_by_side
from eventlab.projections.view import View
from eventlab.testing.views import view as scenario

#: Attributes that every aggregate has, which are not part of its state.
COMMON = ("id", "version", "position", "changes")


class TimeSlider(Interactive):
    """The events of one aggregate up to a version, and the resulting state and documents.

    Set ``version`` to move the slider.

    >>> from eventlab.accounts import Account
    >>> history = [Recorded("JohnDoe", 1, "create", {}, "1767254400000-0")]
    >>> TimeSlider(history, Account)
    version 1 of 1: create, on 2026-01-01 at 08:00:00
    state: funds=0
    """

    def __init__(
        self,
        events: Sequence[Recorded],
        aggregate: Callable[[str], Aggregate],
        view: View | None = None,
    ) -> None:
        self.events = list(events)
        self.version = len(self.events)
        self._aggregate = aggregate
        self._view = view

    @property
    def past(self) -> list[Recorded]:
        """The events up to the slider's version."""
        return self.events[: self.version]

    def state(self) -> dict[str, Any]:
        """Return the state of the aggregate at the slider's version, by replaying its events."""
        id = self.events[0].id if self.events else ""
        replayed = self._aggregate(id).replay(self.past)
        return {
            name: value
            for name, value in vars(replayed).items()
            if name not in COMMON and not name.startswith("_")
        }

    def documents(self) -> list[dict[str, Any]]:
        """Return the documents that the view had at the slider's version."""
        if self._view is None:
            return []
        return list(scenario(self._view).given(*self.past).documents().values())

    def __repr__(self) -> str:
        lines = [f"version {self.version} of {len(self.events)}: {self._moment()}"]
        lines.append(f"state: {_fields(self.state())}")
        lines += [f"document: {document}" for document in self.documents()]
        return "\n".join(lines)

    def table(self) -> str:
        """Return the events, the state and the documents as HTML, side by side."""
        rows = [(e.version, f"{e.time:%H:%M:%S}", e.type, _fields(e.data)) for e in self.past]
        head = ["version", "time", "type", "data"]
        parts = [
            (self._moment(), as_table(head, rows, marked=len(rows) - 1)),
            ("state", as_table(["name", "value"], self.state().items())),
        ]
        parts += [
            ("document", as_table(["field", "value"], document.items()))
            for document in self.documents()
        ]
        return side_by_side(*parts)

    def controls(self, refresh: Callable[[], None]) -> Sequence[Any]:
        """Return the slider."""
        import ipywidgets

        slider = ipywidgets.IntSlider(
            self.version, 0, len(self.events), description="version", layout={"width": "30em"}
        )

        def moved(change: dict[str, Any]) -> None:
            self.version = change["new"]
            refresh()

        slider.observe(moved, names="value")
        return [slider]

    def _moment(self) -> str:
        if not self.past:
            return "before the first event"
        newest = self.past[-1]
        return f"{newest.type}, on {newest.time:%Y-%m-%d at %H:%M:%S}"


def _fields(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
