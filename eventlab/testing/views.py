"""given/shows for a view: its events, and the documents that it makes of them, without MongoDB."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self, TypeVar

import bson
from bson.errors import BSONError

from eventlab.events import Event, Recorded
from eventlab.projections.view import Changes, View
from eventlab.testing.documents import UpdateRefused, updated
from eventlab.testing.history import EXAMPLE, extended
from eventlab.testing.report import difference, document_lines, event_line, paragraph, same
from eventlab.testing.scenario import error_text

E = TypeVar("E", bound=Exception)
Documents = dict[Any, dict[str, Any]]


def view(view: View | Callable[[], View]) -> ViewScenario:
    """Return a view, or one that this class makes, for a test of its documents.

    >>> from eventlab.accounts.views import EventsByType
    >>> events = [Event("create"), Event("deposit", {"amount": 100})]
    >>> _ = view(EventsByType).given(*events).shows("deposit", {"events": 1, "last": "2-0"})
    """
    return ViewScenario(view() if callable(view) else view, [])


class _Stop(NamedTuple):
    event: Recorded
    error: Exception


class ViewScenario:
    """A view and the events that a test gives it."""

    def __init__(self, view: View, history: Sequence[Recorded]) -> None:
        self._view = view
        self.history = list(history)

    def given(
        self, *events: Event | Recorded, id: str = EXAMPLE, at: datetime | None = None
    ) -> ViewScenario:
        """Return the scenario with further events of the aggregate ``id``.

        They are stored at positions 1-0, 2-0 and so on, or at the time ``at``. Call it again for
        the events of another aggregate.
        """
        return ViewScenario(self._view, extended(self.history, events, id, at))

    def documents(self) -> Documents:
        """Return all documents by their ``_id``; raises AssertionError if the view stops.

        >>> from eventlab.accounts.views import EventsByType
        >>> view(EventsByType).given(Event("create")).documents()
        {'create': {'_id': 'create', 'events': 1, 'last': '1-0'}}
        """
        __tracebackhide__ = True
        at_once, stop = self._fold([self.history])
        if stop:
            raise AssertionError(self._stopped(stop)) from stop.error
        one_by_one, _ = self._fold([[event] for event in self.history])
        for id in at_once.keys() | one_by_one.keys():
            together, alone = at_once.get(id), one_by_one.get(id)
            if not same(together, alone):
                lines = difference(document_lines(together), document_lines(alone))
                raise AssertionError(
                    f"document {id!r} of view {self._view.name!r} depends on how the events are "
                    "batched: apply must not remember anything (- all events in one batch, "
                    f"+ one event at a time):\n{lines}\n\n{self._context()}"
                )
        return at_once

    def shows(self, id: object, document: Mapping[str, Any] | None) -> Self:
        """Check one document, all of its fields; None: the view has no such document.

        The field ``_id`` may be left out. It also checks that the document does not depend on how
        a projector batches the events.
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

        ``match`` is a part of its text.
        """
        __tracebackhide__ = True
        _, stop = self._fold([[event] for event in self.history])
        name = self._view.name
        if stop is None:
            raise AssertionError(f"view {name!r} applied every event\n\n{self._context()}")
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

    def _fold(self, batches: Sequence[Sequence[Recorded]]) -> tuple[Documents, _Stop | None]:
        documents: Documents = {}
        for batch in batches:
            changes = Changes()
            for event in batch:
                try:
                    self._view.apply(copy.deepcopy(event), changes)
                except Exception as error:  # noqa: BLE001 - a view is user code
                    return documents, _Stop(event, error)
            for id, change in changes.items():
                if change.deletes:
                    documents.pop(id, None)
                update = change.update()
                if update:
                    try:
                        documents[id] = stored(updated(documents.get(id, {"_id": id}), update))
                    except (UpdateRefused, BSONError, OverflowError) as error:
                        return documents, _Stop(batch[-1], error)
        return documents, None

    def _stopped(self, stop: _Stop) -> str:
        event = stop.event
        return (
            f"view {self._view.name!r} stopped at {event.position} ({event.type!r}, version "
            f"{event.version} of {event.id!r}): {error_text(stop.error)}\n\n{self._context()}"
        )

    def _context(self) -> str:
        lines = [f"{event.id!r} {event_line(event)}" for event in self.history]
        return paragraph("given", lines)


def stored(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as MongoDB gives it back; raises an error of bson if it cannot hold it.

    >>> stored({"seen": (1, 2)})
    {'seen': [1, 2]}
    """
    return bson.decode(bson.encode(document))
