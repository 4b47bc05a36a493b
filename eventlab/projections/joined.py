"""Joined views, which are built from the events of several categories."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, Protocol

from pymongo.database import Database

from eventlab.errors import InvalidArgument, ViewStopped
from eventlab.events import Recorded
from eventlab.projections.checkpoint import Checkpoint
from eventlab.projections.follower import Follower
from eventlab.projections.lag import ViewLag, sum_of_lags
from eventlab.projections.live import Live
from eventlab.projections.session import ProjectorSession, bookkeeping
from eventlab.projections.several import Several
from eventlab.projections.view import Changes, checked_view_name, version_of
from eventlab.store.slices import check_slices, slice_number
from eventlab.store.store import EventStore


class JoinedView(Protocol):
    """A view of several categories. In all other respects, it is like ``View``.

    Events of different categories have no defined order, so a rebuild may apply them in a different
    order than before. The documents must not depend on this order: use separate fields for the
    events of each category, or only add numbers.
    """

    name: str

    def apply(self, event: Recorded, changes: Changes, category: str) -> None:
        """Apply one event of a category by recording its changes in ``changes``."""
        ...


class OfCategory:
    """An adapter that presents a joined view as a view of one of its categories."""

    def __init__(self, view: JoinedView, category: str) -> None:
        self.name = view.name
        self._view = view
        self._category = category

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Apply one event by recording its changes in ``changes``."""
        self._view.apply(event, changes, self._category)


class JoinedProjector(Live, Several[Follower]):
    """Applies the events of several categories to one view, each event exactly once.

    A JoinedProjector works like a Projector, but has a position for each category or for each
    slice. All positions are in one checkpoint, which is committed with the documents, so only one
    projector at a time is active for all categories. The methods raise CategoryMismatch if the
    documents belong to other categories.

    Raises InvalidArgument unless there are at least two stores, each of a different category.
    Raises InvalidName if the name of the view is not valid for a collection.

    >>> projector = JoinedProjector([accounts, mails], lab.mongo, Customers())
    >>> projector.catch_up()
    5
    """

    def __init__(
        self,
        stores: Sequence[EventStore],
        mongo: Database[dict[str, Any]],
        view: JoinedView,
        *,
        batch_size: int = 5000,
    ) -> None:
        name = checked_view_name(view, mongo.name)
        joined = sorted(stores, key=lambda store: store.category)
        categories = [store.category for store in joined]
        if len(set(categories)) < max(2, len(categories)):
            raise InvalidArgument(
                f"view {name!r} joins the categories {categories}: pass stores of two or more "
                "different categories, or use a Projector for one category"
            )
        session = ProjectorSession(bookkeeping(mongo), name)
        version = version_of(view)
        self._by_category = dict[str, list[Follower]]()
        for store in joined:
            check_slices(store.redis, store.all_slices()[0].keys)
            mine = OfCategory(view, store.category)
            parts = [Checkpoint(one, session, name, version, joined) for one in store.all_slices()]
            self._by_category[store.category] = [Follower(each, mine, batch_size) for each in parts]
        Several.__init__(self, list(chain.from_iterable(self._by_category.values())))

    def lag(self) -> dict[str, ViewLag]:
        """Return the lag of the view in each category.

        Raises CategoryMismatch, ViewVersionMismatch or CheckpointMissing if the view cannot follow
        its categories.

        >>> {category: lag.events for category, lag in projector.lag().items()}
        {'accountStream': 0, 'mailStream': 0}
        """
        lags = iter(self._lag())
        parts = self._by_category.items()
        return {category: sum_of_lags([*islice(lags, len(of))]) for category, of in parts}

    def wait_until(self, category: str, id: str, version: int, *, seconds: float = 10.0) -> None:
        """Wait until the view has applied a version of an aggregate in a category.

        Raises VersionConflict if the aggregate has no such version, ViewLate after ``seconds``, and
        InvalidArgument for a category that the view does not follow.
        """
        parts = self._parts_of(category)
        self._wait_until(parts[slice_number(id) % len(parts)], id, version, seconds)

    def skip(self, category: str, position: str) -> None:
        """Skip the event at which the view has stopped in a category; the event is never applied.

        Raises InvalidArgument for a category that the view does not follow, or if the next event is
        not the one at ``position``; the error then names the next event.
        """
        parts = self._parts_of(category)
        for part in parts if len(parts) > 1 else []:
            # Two slices may have an event at this position: skip the event that stops the view.
            try:
                part.run_once()
            except ViewStopped as error:
                if error.event.position == position:
                    parts = [part]
        parts[0].skip(position)

    def _parts_of(self, category: str) -> list[Follower]:
        if category not in self._by_category:
            raise InvalidArgument(
                f"view {self.name!r} does not follow category {category!r}: it follows "
                f"{', '.join(self._by_category)}"
            )
        return self._by_category[category]
