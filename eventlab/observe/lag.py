"""How far views and subscriptions are behind their category; to look changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from pymongo.database import Database
from redis.exceptions import ResponseError

from eventlab.errors import EventLabError
from eventlab.events import Recorded
from eventlab.projections.projector import Projector
from eventlab.projections.view import CHECKPOINTS, REBUILD_NAME, Changes
from eventlab.store.keys import VIEW_GROUP, order
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore
from eventlab.subscriptions.group import ConsumerGroup
from eventlab.subscriptions.records import Parked
from eventlab.subscriptions.subscription import Subscription

SLICE_SUFFIX: Final = re.compile(r"\$\d+$")  # of the checkpoint of one slice
PARKED_PAGE: Final = 50
MAX_LISTED: Final = 100  # views, and subscriptions, of one category


@dataclass(frozen=True)
class ViewState:
    """How far a view is behind; ``events`` is an upper limit if it is not ``exact``.

    A view that cannot follow its category has an ``error`` instead.
    """

    view: str
    position: str = ""
    events: int = 0
    seconds: float = 0.0
    exact: bool = True
    error: str = ""


@dataclass(frozen=True)
class MaxLag:
    """A limit: a view may lack more than ``events``, but not if one waits over ``seconds``.

    >>> MaxLag(1000, 60).exceeded([ViewState("ok", events=1), ViewState("late", "", 2000, 75.0)])
    ['view late lacks 2,000 events, the oldest for 75 s']
    """

    events: int
    seconds: float

    def exceeded(self, states: Iterable[ViewState]) -> list[str]:
        """Return a sentence for each view that is over the limit."""
        return [
            f"view {state.view} lacks {state.events:,} events, the oldest for {state.seconds:.0f} s"
            for state in states
            if state.events > self.events and state.seconds > self.seconds
        ]


def problems_of(states: Iterable[ViewState], max_lag: MaxLag | None) -> list[str]:
    """Return a sentence for each view that cannot follow its category, or is over the limit."""
    known = list(states)
    late = max_lag.exceeded(known) if max_lag else []
    return [state.error for state in known if state.error] + late


class Glance(Subscription):
    """A subscription that is only looked at: it creates no group and receives nothing."""

    def __new__(cls, *_: object) -> Self:
        """Return an object of this kind."""
        return object.__new__(cls)

    def __init__(self, store: EventStore, name: str) -> None:
        # Not the constructor of a consumer, which creates the group.
        self.store = store
        self.name = name
        self._group = ConsumerGroup(store, name, "glance")

    def parked_page(self, cursor: int) -> tuple[list[Parked], int]:
        """Return a page of the parked events, and the cursor of the next page; 0 is both ends."""
        scan = "HSCAN", self._group.keys[3], cursor, "COUNT", PARKED_PAGE
        following, page = self.store.redis.execute_command(*scan, **RAW)
        found = [self._parked(*record) for record in page.items()]
        return sorted(found, key=lambda parked: order(parked.position)), int(following)


class _NamedView:
    """Stands for a view whose class is not known here, to ask for its lag."""

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.version = version

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Do nothing: no projector runs it."""


def views_of(store: EventStore, mongo: Database[dict[str, Any]]) -> list[Projector]:
    """Return a projector, to ask for its lag, for each view that follows a category."""
    slices = store.all_slices()
    query = {
        "category": {"$in": [one.keys.category for one in slices]},
        "_id": {"$not": re.compile(REBUILD_NAME)},
        "position": {"$type": "string"},
    }
    limit = MAX_LISTED * len(slices)
    versions: dict[str, int] = {}
    for document in mongo[CHECKPOINTS].find(query, {"version": 1}).sort("_id").limit(limit):
        name = SLICE_SUFFIX.sub("", document["_id"])
        versions[name] = document.get("version") or 1
    return [Projector(store, mongo, _NamedView(*each)) for each in versions.items()][:MAX_LISTED]


def view_states(projectors: Iterable[Projector]) -> list[ViewState]:
    """Return the state of each view. Raises the error of a server that does not answer."""
    states = list[ViewState]()
    for projector in projectors:
        try:
            lag = projector.lag()
        except EventLabError as error:
            states.append(ViewState(projector.name, error=str(error)))
        else:
            states.append(
                ViewState(projector.name, lag.position, lag.events, lag.seconds, lag.exact)
            )
    return states


def subscriptions_of(store: EventStore) -> list[Glance]:
    """Return the subscriptions of a category, by name."""
    try:
        groups = store.redis.execute_command("XINFO GROUPS", store.keys.stream, **RAW)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return []
    names = sorted(_name(group) for group in groups)
    return [Glance(store, name) for name in names if not name.startswith(VIEW_GROUP)][:MAX_LISTED]


def _name(group: dict[Any, Any]) -> str:
    name = {str(key): value for key, value in group.items()}["name"]
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def appended(store: EventStore) -> int:
    """Return how many events were ever appended to a category, trimmed ones included."""
    return sum(map(_appended, store.all_slices()))


def _appended(one: EventStore) -> int:
    try:
        info = one.redis.execute_command("XINFO STREAM", one.keys.stream, **RAW)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return 0
    return int({str(key): value for key, value in info.items()}.get("entries-added", 0))
