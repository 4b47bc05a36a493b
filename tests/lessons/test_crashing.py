"""`run_and_crash` kills a page's function where it says, and reports an error of the function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventlab import NEW, Event, EventStore
from eventlab.lessons import run_and_crash


@pytest.fixture
def stores(lab: Any) -> Iterator[list[EventStore]]:
    """Return two stores, which are dropped before and afterwards."""
    both = [EventStore(lab.redis, f"testCrashing{number}") for number in (1, 2)]
    for store in both:
        store.drop()
    yield both
    for store in both:
        store.drop()


def three_steps(first: EventStore, second: EventStore, crash: Callable[[], None]) -> None:
    crash()
    first.append("a", [Event("one")], expected=NEW)
    crash()
    second.append(named(), [Event("two")], expected=NEW)


def named() -> str:
    return "b"


@pytest.mark.parametrize(("crash_at", "left"), [(1, [[], []]), (2, [["a"], []])])
def test_run_and_crash_kills_at_the_given_call(
    stores: list[EventStore], crash_at: int, left: list[list[str]]
) -> None:
    assert run_and_crash(three_steps, *stores, crash_at=crash_at, uses=[named])
    assert [store.ids() for store in stores] == left


def test_run_and_crash_completes_when_no_call_kills(stores: list[EventStore]) -> None:
    assert not run_and_crash(three_steps, *stores, uses=[named])
    assert [store.ids() for store in stores] == [["a"], ["b"]]


def test_run_and_crash_reports_the_error_of_the_function(stores: list[EventStore]) -> None:
    stores[0].append("a", [Event("one")], expected=NEW)
    with pytest.raises(RuntimeError, match="three_steps failed: VersionConflict: 'a' is at"):
        run_and_crash(three_steps, *stores, uses=[named])
