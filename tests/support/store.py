"""What the tests of the store and the repository share: events, filled logs, and counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from eventlab import ANY, Event, EventStore
from eventlab.store.logs import Tail


def deposits(*amounts: int) -> list[Event]:
    """Return one deposit per amount."""
    return [Event("deposit", {"amount": amount}) for amount in amounts]


def append_deposits(store: EventStore, id: str, count: int) -> list[str]:
    """Append deposits of 1, 2, 3 and so on, and return their positions."""
    recorded = store.append(id, deposits(*range(1, count + 1)), expected=ANY)
    return [event.position for event in recorded]


def fill(store: EventStore, count: int, id: str = "a", amount: int = 1) -> None:
    """Create an account with ``count`` deposits."""
    store.append(id, [Event("create"), *deposits(*[amount] * count)], expected=0)


def contents(store: EventStore) -> dict[bytes, bytes]:
    """Return what Redis has of a category, byte by byte."""
    redis = store.redis
    found = {store.keys.stream, *redis.scan_iter(match=store.keys.pattern())}
    if store.slices > 1:
        found.update(redis.scan_iter(match=store.keys.all_slices()))
    return {key: redis.dump(key) for key in sorted(found) if redis.exists(key)}


def write_original(
    store: EventStore, *events: tuple[str, int, str, dict[str, Any]], start: int = 1551312621884
) -> list[bytes]:
    """Write ``(id, version, type, data)`` as the original does, and return the positions."""
    return [
        store.redis.xadd(
            store.category,
            {
                "event": json.dumps(
                    {"id": id, "version": version, "type": type} | data, separators=(",", ":")
                )
            },
            id=f"{start + place}-0",
        )
        for place, (id, version, type, data) in enumerate(events)
    ]


class CountedReads:
    """Counts the events that a repository reads from a store, one number per read."""

    def __init__(self, store: EventStore) -> None:
        self.numbers: list[int] = []
        plain = store.pages

        def pages(id: str, *, after: int = 0, limit: int | None = None) -> Iterator[Tail]:
            self.numbers.append(0)
            for page in plain(id, after=after, limit=limit):
                self.numbers[-1] += len(page.events)
                yield page

        store.pages = pages  # type: ignore[method-assign]

    @property
    def events(self) -> int:
        """The number of events read so far."""
        return sum(self.numbers)
