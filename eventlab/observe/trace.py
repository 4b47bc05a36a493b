"""The tree of causes: which event caused which other event, across several categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from eventlab.events import Recorded
from eventlab.store.causes import identity
from eventlab.store.keys import order
from eventlab.store.store import EventStore


class Caused(NamedTuple):
    """An event in a tree of causes: ``depth`` is the number of events that led to it."""

    depth: int
    name: str
    event: Recorded


def trace(stores: Iterable[EventStore], correlation_id: str) -> list[Caused]:
    """Return the events with a correlation id, each listed below the event that caused it.

    The function reads the aggregate logs of the categories, which are complete even after a trim.
    An event begins a tree if its cause is missing or is a consequence of the event itself.

    >>> [(one.depth, one.name) for one in trace([accounts, letters], "r-1")]
    [(0, 'accountStream/JohnDoe/2'), (1, 'letterStream/letter-1/1')]
    """
    found: dict[str, Recorded] = {}
    for store in stores:
        for id in store.ids():
            for page in store.pages(id):
                for event in page.events:
                    name = identity(store.category, event)
                    if correlation_id in (name, _meta(event, "correlation_id")):
                        found[name] = event
    names = sorted(found, key=lambda name: order(found[name].position))
    effects: dict[Any, list[str]] = defaultdict(list)
    roots: list[str] = []
    for name in names:
        cause = _meta(found[name], "causation_id")
        (effects[cause] if cause in found and cause != name else roots).append(name)
    result: dict[str, Caused] = {}
    for root in [*roots, *names]:  # events that are not below a root form a cycle
        waiting = [(0, root)]
        while waiting:
            depth, name = waiting.pop()
            if name not in result:
                result[name] = Caused(depth, name, found[name])
                waiting += [(depth + 1, effect) for effect in reversed(effects[name])]
    return list(result.values())


def _meta(event: Recorded, key: str) -> str | None:
    value = (event.meta or {}).get(key)
    return value if isinstance(value, str) else None  # another program may have written any value
