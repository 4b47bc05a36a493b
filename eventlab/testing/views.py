"""given/shows tests of a view, without MongoDB: events, and the documents built from them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self, TypeVar

import bson
from bson.errors import BSONError

from eventlab.events import Event, Recorded
from eventlab.projections.joined import JoinedView
from eventlab.projections.view import Changes, View, checked_view_name
from eventlab.testing.documents import UpdateRefused, updated
from eventlab.testing.history import EXAMPLE, extended
from eventlab.testing.report import difference, document_lines, event_line, paragraph, same
from eventlab.testing.scenario import error_text

E = TypeVar("E", bound=Exception)
Documents = dict[Any, dict[str, Any]]
AnyView = View | JoinedView


def view(view: AnyView | Callable[[], AnyView]) -> ViewScenario:
    """Return a test scenario for a view; a view class is instantiated first.

    For a view of several categories, ``given`` takes the category of its events. Raises InvalidName
    if the name of the view is not valid for a collection.

    >>> from eventlab.accounts.views import EventsByType
    >>> events = [Event("create"), Event("deposit", {"amount": 100})]
    >>> _ = view(EventsByType).given(*events).shows("deposit", {"events": 1, "last": "2-0"})
    """
    tested = view() if callable(view) else view
    checked_view_name(tested, database="")  # as a projector does
    return ViewScenario(tested, [])


class Placed(NamedTuple):
    """An event and its category, which is empty for a view of one category."""

    event: Recorded
    category: str


class _Stop(NamedTuple):
    event: Recorded
    error: Exception


class ViewScenario:
    """A view, and the events that a test applies to it."""

    def __init__(self, view: AnyView, placed: Sequence[Placed]) -> None:
        self._view: Any = view
        self._placed = list(placed)
        self.history = [each.event for each in placed]

    def given(
        self,
        *events: Event | Recorded,
        id: str = EXAMPLE,
        at: datetime | None = None,
        category: str = "",
    ) -> ViewScenario:
        """Return a new scenario with further events of the aggregate ``id``.

        This scenario does not change, so use the returned one. The events are stored at positions
        1-0, 2-0 and so on, or at the time ``at``. Call ``given`` again for the events of another
        aggregate, or of another ``category`` of a joined view.

        >>> from eventlab.accounts.views import EventsByType
        >>> events = view(EventsByType).given(Event("create"))
        >>> events = events.given(Event("deposit", {"amount": 100}))
        >>> sorted(events.documents())
        ['create', 'deposit']
        """
        before = [each.event for each in self._placed if each.category == category]
        after = extended(before, events, id, at)[len(before) :]
        added = [Placed(event, category) for event in after]
        return ViewScenario(self._view, [*self._placed, *added])

    def documents(self) -> Documents:
        """Return all documents by their ``_id``. Raises AssertionError if the view stops.

        >>> from eventlab.accounts.views import EventsByType
        >>> view(EventsByType).given(Event("create")).documents()
        {'create': {'_id': 'create', 'events': 1, 'last': '1-0'}}
        """
        __tracebackhide__ = True
        at_once, stop = self._fold([self._placed])
        if stop:
            raise AssertionError(self._stopped(stop)) from stop.error
        self._compare(
            at_once,
            self._placed,
            "how the events are batched: either apply keeps state between calls, or it unsets the "
            "last field of an object and leaves an empty object "
            "(- all events in one batch, + one event at a time)",
        )
        categories = dict.fromkeys(each.category for each in self._placed)
        for first in categories if len(categories) > 1 else ():
            self._compare(
                at_once,
                sorted(self._placed, key=lambda each: each.category != first),
                "the order of events of different categories, which a rebuild does not preserve "
                f"(- as given, + all of {first!r} first)",
            )
        return at_once

    def _compare(self, expected: Documents, placed: Sequence[Placed], depends: str) -> None:
        __tracebackhide__ = True
        found, stop = self._fold([[each] for each in placed])
        if stop:
            raise AssertionError(self._stopped(stop)) from stop.error
        for id in expected.keys() | found.keys():
            if not same(expected.get(id), found.get(id)):
                lines = difference(document_lines(expected.get(id)), document_lines(found.get(id)))
                raise AssertionError(
                    f"document {id!r} of view {self._view.name!r} depends on {depends}:\n{lines}"
                    f"\n\n{self._context()}"
                )

    def shows(self, id: object, document: Mapping[str, Any] | None) -> Self:
        """Check all fields of one document; None means that the document must not exist.

        The field ``_id`` may be omitted. The method also checks that the document does not depend
        on how a projector batches the events.
        """
        __tracebackhide__ = True
        found = self.documents().get(id)
        expected = None if document is None else stored({**document, "_id": id})
        if not same(expected, found):
            lines = difference(document_lines(expected), document_lines(found))
            raise AssertionError(
                f"document {id!r} of view {self._view.name!r} is not as expected "
                f"(- expected, + shown):\n{lines}\n\n{self._context()}"
            )
        return self

    def stops(self, kind: type[E], match: str = "") -> E:
        """Check that the last event stops the view with this kind of error; return the error.

        ``match`` must be part of the error's text.
        """
        __tracebackhide__ = True
        _, stop = self._fold([[each] for each in self._placed])
        name = self._view.name
        if stop is None:
            raise AssertionError(
                f"view {name!r} applied every event, but was expected to stop\n\n{self._context()}"
            )
        if stop.event is not self.history[-1]:
            raise AssertionError(self._stopped(stop)) from stop.error
        if not isinstance(stop.error, kind):
            raise AssertionError(  # noqa: TRY004 - it is what the test found
                f"view {name!r} stopped with {error_text(stop.error)}, expected "
                f"{kind.__name__}\n\n{self._context()}"
            ) from stop.error
        if match not in str(stop.error):
            raise AssertionError(
                f"{match!r} is not in the text of {error_text(stop.error)}\n\n{self._context()}"
            ) from stop.error
        return stop.error

    def _fold(self, batches: Sequence[Sequence[Placed]]) -> tuple[Documents, _Stop | None]:
        documents: Documents = {}
        stop = None
        for batch in batches:
            documents, stop = self._apply(documents, batch)
            if stop:
                break
        return documents, stop

    def _apply(
        self, documents: Documents, batch: Sequence[Placed]
    ) -> tuple[Documents, _Stop | None]:
        """Return the documents after a batch, which is halved if MongoDB would reject it."""
        changes = Changes()
        for event, category in batch:
            named = [category] if category else []
            try:
                self._view.apply(copy.deepcopy(event), changes, *named)
            except Exception as error:  # noqa: BLE001 - a view is user code
                return documents, _Stop(event, error)
        after = dict(documents)
        try:
            for id, change in changes.items():
                if change.deletes:
                    after.pop(id, None)
                if update := change.update():
                    after[id] = stored(updated(after.get(id, {"_id": id}), update))
        except (UpdateRefused, BSONError, OverflowError) as error:
            if len(batch) == 1:
                return documents, _Stop(batch[0].event, error)
            half = len(batch) // 2
            documents, stop = self._apply(documents, batch[:half])
            return (documents, stop) if stop else self._apply(documents, batch[half:])
        return after, None

    def _stopped(self, stop: _Stop) -> str:
        event = stop.event
        return (
            f"view {self._view.name!r} stopped at {event.position} ({event.type!r}, version "
            f"{event.version} of {event.id!r}): {error_text(stop.error)}\n\n{self._context()}"
        )

    def _context(self) -> str:
        lines = [
            f"{category} {event.id!r} {event_line(event)}".lstrip()
            for event, category in self._placed
        ]
        return paragraph("given", lines)


def stored(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as MongoDB would return it. Raises bson's error if BSON cannot hold it.

    >>> stored({"seen": (1, 2)})
    {'seen': [1, 2]}
    """
    return bson.decode(bson.encode(document))
