"""The lag of a view: how many events it has not applied, and the age of the oldest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from eventlab.store.keys import order
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore

MAX_COUNTED_EVENTS: Final = 10_000  # beyond this number, the lag is an estimate
MAX_COUNTED_BYTES: Final = 50_000_000  # beyond this size, too
COUNTED_AT_ONCE: Final = 100  # events per reply, so that Redis can serve other clients in between


@dataclass(frozen=True)
class ViewLag:
    """The lag of a view: how many events it has not applied, and the age of the oldest in seconds.

    The number is exact up to 10,000 events or 50 MB. Beyond that, ``exact`` is False and ``events``
    is an upper bound. While a projector builds the documents of a newer version of the view, the
    lag is that of the new documents, and ``replaces`` is the version that readers still see.
    """

    position: str
    events: int
    seconds: float
    exact: bool
    replaces: int | None = field(default=None, repr=False)


def lag_of(store: EventStore, position: str, replaces: int | None = None) -> ViewLag:
    """Return the lag of a view whose checkpoint is at ``position``."""
    redis = store.redis
    stream = store.keys.stream
    oldest = last = position
    events = size = 0
    exact = False
    while not exact and events < MAX_COUNTED_EVENTS and size < MAX_COUNTED_BYTES:
        count = min(COUNTED_AT_ONCE, MAX_COUNTED_EVENTS - events)
        page = redis.execute_command("XRANGE", stream, f"({last}", "+", "COUNT", count, **RAW)
        exact = len(page) < count
        if page and not events:
            oldest = page[0][0].decode()
        events += len(page)
        size += sum(len(value) for _, fields in page for value in fields.values())
        last = page[-1][0].decode() if page else last
    seconds = redis.time()[0] - order(oldest)[0] / 1000 if events else 0.0
    if not exact:
        events = redis.xlen(stream)
    return ViewLag(position, events, max(0.0, seconds), exact=exact, replaces=replaces)


def sum_of_lags(lags: Sequence[ViewLag]) -> ViewLag:
    """Return the lag over all slices: the total number of events, and the age of the oldest.

    The position is the earliest position of the slices that lag, or the latest position of all
    slices if no slice lags.
    """
    behind = [lag.position for lag in lags if lag.events]
    position = min(behind, key=order) if behind else max((x.position for x in lags), key=order)
    events = sum(lag.events for lag in lags)
    seconds = max(lag.seconds for lag in lags)
    return ViewLag(position, events, seconds, all(lag.exact for lag in lags), lags[0].replaces)
