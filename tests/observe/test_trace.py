"""The tree of causes of a correlation, whatever its meta says."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import redis

from eventlab import ANY, Event, EventStore
from eventlab.observe.trace import trace
from eventlab.store.causes import caused_by, identity

TICKS = itertools.count(1)  # one clock for both categories: no two events in one millisecond


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category, clock=lambda: next(TICKS))


@pytest.fixture
def letters(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, f"{category}_letters", clock=lambda: next(TICKS))


def add(store: EventStore, id: str, **meta: Any) -> str:
    event = store.append(id, [Event("x", {}, meta or None)], expected=ANY)[0]
    return identity(store.category, event)


def shown(stores: list[EventStore], correlation: str) -> list[tuple[int, str]]:
    return [(one.depth, one.name) for one in trace(stores, correlation)]


def test_trace_shows_effects_below_their_causes_in_two_categories(
    store: EventStore, letters: EventStore
) -> None:
    first = add(store, "a", correlation_id="r-1")
    with caused_by(store.read("a")[0], store.category):
        second = add(letters, "l")
        third = add(store, "b")
    with caused_by(letters.read("l")[0], letters.category):
        fourth = add(store, "a")
    add(store, "a", correlation_id="r-2")
    store.trim(before=store.head())
    assert shown([store, letters], "r-1") == [(0, first), (1, second), (2, fourth), (1, third)]
    assert shown([store], "r-1") == [(0, first), (1, third), (0, fourth)]
    assert shown([letters], "r-2") == []


def test_trace_begins_at_an_event_without_a_correlation(
    store: EventStore, letters: EventStore
) -> None:
    first = add(store, "a")
    with caused_by(store.read("a")[0], store.category):
        second = add(letters, "l")
    assert shown([store, letters], first) == [(0, first), (1, second)]


def test_trace_shows_every_event_once_even_in_a_cycle(store: EventStore) -> None:
    name = f"{store.category}/a"
    for cause in ("2", "1", "3"):
        add(store, "a", correlation_id="r", causation_id=f"{name}/{cause}")
    add(store, "a", correlation_id="r", causation_id=["odd"])
    assert shown([store], "r") == [
        (0, f"{name}/3"), (0, f"{name}/4"), (0, f"{name}/1"), (1, f"{name}/2"),
    ]  # fmt: skip


def test_trace_follows_a_long_chain(store: EventStore) -> None:
    events = [
        Event("x", {}, {"correlation_id": "r", "causation_id": f"{store.category}/a/{n}"})
        for n in range(2000)
    ]
    store.append("a", events, expected=ANY)
    found = trace([store], "r")
    assert [one.depth for one in found] == list(range(2000))
