"""Read-only access to the lag of views and subscriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo.cursor import Cursor
from pymongo.database import Database
from redis.exceptions import ResponseError

from eventlab.errors import EventLabError
from eventlab.events import Recorded
from eventlab.projections.joined import JoinedProjector
from eventlab.projections.lag import ViewLag
from eventlab.projections.projector import Projector
from eventlab.projections.view import CHECKPOINTS, FIRST_VERSION, REBUILD_NAME, Changes
from eventlab.slices.store import open_store
from eventlab.slices.subscription import sum_of
from eventlab.store.keys import VIEW_GROUP, order
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore
from eventlab.subscriptions.group import ConsumerGroup
from eventlab.subscriptions.records import Lag, Parked
from eventlab.subscriptions.subscription import Subscription

SLICE_SUFFIX: Final = re.compile(r"\$\d+$")  # in the key of a slice's checkpoint
PARKED_PAGE: Final = 50
MAX_LISTED: Final = 100  # views, and also subscriptions, of one category

AnyProjector = Projector | JoinedProjector


@dataclass(frozen=True)
class ViewState:
    """The lag of a view. If ``exact`` is False, ``events`` is an upper bound.

    A view that cannot follow its category has an ``error`` instead. For a joined view, ``events``
    and ``seconds`` cover all its categories, ``position`` is empty, ``categories`` has the lag in
    each category, and ``follows`` has the names of all categories.
    """

    view: str
    position: str = ""
    events: int = 0
    seconds: float = 0.0
    exact: bool = True
    error: str = ""
    categories: tuple[tuple[str, ViewLag], ...] = ()
    follows: str = ""


@dataclass(frozen=True)
class MaxLag:
    """The maximum lag of a view. A view is over the limit only if its lag exceeds both values.

    >>> MaxLag(1000, 60).exceeded([ViewState("ok", events=1), ViewState("late", "", 2000, 75.0)])
    ['view late lags by 2,000 events; the oldest has waited for 75 s']
    """

    events: int
    seconds: float

    def exceeded(self, states: Iterable[ViewState]) -> list[str]:
        """Return a message for each view that is over the limit."""
        return [
            f"view {state.view} lags by {state.events:,} events{_shares(state)}; "
            f"the oldest has waited for {state.seconds:.0f} s"
            for state in states
            if state.events > self.events and state.seconds > self.seconds
        ]


def _shares(state: ViewState) -> str:
    shares = ", ".join(f"{lag.events:,} of {category}" for category, lag in state.categories)
    return f" ({shares})" if shares else ""


def problems_of(states: Iterable[ViewState], max_lag: MaxLag | None) -> list[str]:
    """Return a message for each view that cannot follow its category or is over the limit."""
    known = list(states)
    late = max_lag.exceeded(known) if max_lag else []
    return [state.error for state in known if state.error] + late


class StreamGlance(Subscription):
    """Reads the lag and parked events of a subscription in one stream, and creates no group."""

    def __init__(self, store: EventStore, name: str) -> None:
        # Do not call the constructor of Subscription, which creates the group.
        self.store = store
        self.name = name
        self._group = ConsumerGroup(store, name, "glance")

    def parked_page(self, cursor: int) -> tuple[list[Parked], int]:
        """Return a page of parked events, and the cursor of the next page (0 if there is none)."""
        scan = "HSCAN", self._group.keys[3], cursor, "COUNT", PARKED_PAGE
        following, page = self.store.redis.execute_command(*scan, **RAW)
        found = [self._parked(*record) for record in page.items()]
        return sorted(found, key=lambda parked: order(parked.position)), int(following)


@dataclass(frozen=True)
class SubscriptionState:
    """The lag of a subscription: ``lag`` over all slices, and ``worst`` in the worst slice.

    With one slice, ``lag`` and ``worst`` are the same, and ``worst_slice`` is 0. ``lost`` is the
    number of slices that have no consumer group while other slices have one. The events of such
    slices are not delivered.
    """

    lag: Lag
    worst: Lag
    worst_slice: int = 0
    lost: int = 0


class Glance:
    """Reads the lag and parked events of a subscription in all slices that have its group."""

    def __init__(self, store: EventStore, name: str, numbers: Sequence[int] = (0,)) -> None:
        self.store = store
        self.name = name
        slices = store.all_slices()
        self.lost = len(slices) - len(numbers)
        self.parts = {number: StreamGlance(slices[number], name) for number in numbers}

    def lag(self) -> Lag:
        """Return the lag over all slices."""
        return self.state().lag

    def state(self) -> SubscriptionState:
        """Return the lag over all slices and in the worst slice."""
        lags = {number: part.lag() for number, part in self.parts.items()}
        worst = max(lags, key=lambda number: (lags[number].events, lags[number].parked, -number))
        return SubscriptionState(sum_of(list(lags.values())), lags[worst], worst, self.lost)

    def parked_page(self, cursor: int) -> tuple[list[Parked], int]:
        """Return a page of parked events, and the cursor of the next page (0 if there is none)."""
        slices = len(self.store.all_slices())
        position, number = divmod(cursor, slices)
        found = list[Parked]()
        while number < slices and len(found) < PARKED_PAGE:
            part = self.parts.get(number)
            page, position = part.parked_page(position) if part else ([], 0)
            found += page
            number += position == 0
        following = 0 if number == slices else position * slices + number
        return sorted(found, key=lambda parked: order(parked.position)), following


class _NamedView:
    """A placeholder for a view whose class is unknown here, used only to read the view's lag."""

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.version = version

    def apply(self, event: Recorded, changes: Changes, category: str = "") -> None:
        """Do nothing, because no projector runs this view."""


def views_of(store: EventStore, mongo: Database[dict[str, Any]]) -> list[AnyProjector]:
    """Return one projector for each view that follows a category.

    Use the projectors only to read the lag of the views. Views that join the category with other
    categories come last.
    """
    slices = store.all_slices()
    versions = {
        SLICE_SUFFIX.sub("", document["_id"]): document.get("version") or FIRST_VERSION
        for document in _checkpoints(
            mongo, {"$in": [one.keys.category for one in slices]}, MAX_LISTED * len(slices)
        )
    }
    found: list[AnyProjector] = [
        Projector(store, mongo, _NamedView(*each)) for each in versions.items()
    ]
    joined = re.compile(rf"(^| \+ ){re.escape(store.category)}($| \+ )")
    for document in _checkpoints(mongo, joined, MAX_LISTED):
        # Earlier releases did not record the categories. The view's next batch records them.
        split = document["category"].split(" + ")
        parts = document.get("parts") or ()
        categories = document.get("categories") or (split if len(split) == len(parts) else [])
        if store.category in categories:
            view = _NamedView(document["_id"], document.get("version") or FIRST_VERSION)
            stores = [open_store(store.redis, category) for category in categories]
            found.append(JoinedProjector(stores, mongo, view))
    return found[:MAX_LISTED]


def _checkpoints(mongo: Database[dict[str, Any]], category: object, limit: int) -> Cursor[Any]:
    query = {
        "category": category,
        "_id": {"$not": re.compile(REBUILD_NAME)},
        "position": {"$type": "string"},
    }
    fields = {"version": 1, "category": 1, "categories": 1, "parts.position": 1}
    return mongo[CHECKPOINTS].find(query, fields).sort("_id").limit(limit)


def view_states(projectors: Iterable[AnyProjector]) -> list[ViewState]:
    """Return the state of each view. If a server does not respond, raises the server's error."""
    return [_state(projector) for projector in projectors]


def _state(projector: AnyProjector) -> ViewState:
    name = projector.name
    follows = ""
    if isinstance(projector, JoinedProjector):
        follows = " + ".join(projector._by_category)
    try:
        lag = projector.lag()
    except EventLabError as error:
        return ViewState(name, error=str(error), follows=follows)
    if isinstance(lag, ViewLag):
        return ViewState(name, lag.position, lag.events, lag.seconds, lag.exact)
    return ViewState(
        name,
        "",
        sum(each.events for each in lag.values()),
        max(each.seconds for each in lag.values()),
        all(each.exact for each in lag.values()),
        categories=tuple(lag.items()),
        follows=follows,
    )


def subscriptions_of(store: EventStore) -> list[Glance]:
    """Return the subscriptions of a category, sorted by name."""
    found = dict[str, list[int]]()
    for number, one in enumerate(store.all_slices()):
        for name in _groups(one):
            if not name.startswith(VIEW_GROUP):
                found.setdefault(name, []).append(number)
    return [Glance(store, *each) for each in sorted(found.items())[:MAX_LISTED]]


def _groups(one: EventStore) -> list[str]:
    try:
        groups = one.redis.execute_command("XINFO GROUPS", one.keys.stream, **RAW)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return []
    return [_name(group) for group in groups]


def _name(group: dict[Any, Any]) -> str:
    name = {str(key): value for key, value in group.items()}["name"]
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def appended(store: EventStore) -> int:
    """Return how many events were ever appended to a category, including trimmed events."""
    return sum(map(_appended, store.all_slices()))


def _appended(one: EventStore) -> int:
    try:
        info = one.redis.execute_command("XINFO STREAM", one.keys.stream, **RAW)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return 0
    return int({str(key): value for key, value in info.items()}.get("entries-added", 0))
