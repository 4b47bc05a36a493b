"""A projector reads the next batch while MongoDB stores the current one."""

from __future__ import annotations

import contextlib
import json
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.errors import DocumentTooLarge

from eventlab import (
    Changes,
    CorruptEvent,
    Event,
    EventStore,
    JoinedProjector,
    Projector,
    Recorded,
)
from eventlab.accounts import AccountView
from eventlab.projections import read_ahead
from eventlab.projections.read_ahead import ReadAhead
from eventlab.store.stream import CategoryStream
from tests.projections.support import fill, funds
from tests.support.waiting import wait_until

Reading = Callable[[ReadAhead, str, int], contextlib.AbstractContextManager[Callable[[], None]]]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each batch asks to read ahead."""
    found: list[int] = []
    reading: Reading = ReadAhead.reading

    def noted(
        self: ReadAhead, after: str, limit: int
    ) -> contextlib.AbstractContextManager[Callable[[], None]]:
        found.append(limit)
        return reading(self, after, limit)

    monkeypatch.setattr(ReadAhead, "reading", noted)
    return found


def deposits(*amounts: int) -> list[Event]:
    return [Event("deposit", {"amount": amount}) for amount in amounts]


@contextlib.contextmanager
def projecting(store: EventStore, mongo: Any, batch_size: int) -> Iterator[Projector]:
    with Projector(store, mongo, AccountView(store.category), batch_size=batch_size) as projector:
        yield projector


def test_next_batch_is_read_while_mongodb_stores_the_current_one(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("a", [Event("create"), *deposits(1, 1, 1, 1)], expected=0)
    positions = [event.position for event in store.read("a")]
    reads: list[str] = []
    entries = CategoryStream.entries
    bulk_write = Collection.bulk_write

    def noted(self: CategoryStream, *, after: str, limit: int) -> Any:
        reads.append(after)
        return entries(self, after=after, limit=limit)

    def stored(self: Any, *args: Any, **options: Any) -> Any:
        # The last batch is not full, so no events follow it.
        if self.name == store.category and len(batches) < 2:
            wait_until(lambda: positions[2 * len(batches) + 1] in reads)
        return bulk_write(self, *args, **options)

    monkeypatch.setattr(CategoryStream, "entries", noted)
    monkeypatch.setattr(Collection, "bulk_write", stored)
    batches: list[int] = []
    with projecting(store, mongo, 2) as projector:
        while counted := projector.run_once():
            batches.append(counted)
    assert batches == [2, 2, 1]
    assert reads == ["0-0", positions[1], positions[3], positions[4]]  # each event is read once
    assert funds(documents) == 4


def test_events_that_were_lost_after_they_were_read_ahead_are_not_applied(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    store.append("a", [Event("create"), *deposits(1, 10, 10)], expected=0)
    lost = [event.position for event in store.read("a", after=2)]
    with projecting(store, mongo, 2) as projector:
        assert projector.run_once() == 2
        # As after a failover: two events are gone, and others have taken their versions.
        store.redis.ltrim(store.keys.log("a"), 0, 1)
        store.redis.xdel(store.category, *lost)
        store.append("a", deposits(2, 2), expected=2)
        assert projector.run_once() == 2
    assert funds(documents) == 5


def test_lost_event_that_was_read_ahead_does_not_stop_the_view(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    store.append("a", [Event("create"), *deposits(1, 1), Event("unknown")], expected=0)
    with projecting(store, mongo, 2) as projector:
        assert projector.run_once() == 2
        store.redis.ltrim(store.keys.log("a"), 0, 2)
        store.redis.xdel(store.category, store.head())
        store.append("a", deposits(2), expected=3)
        assert projector.run_once() == 2
    assert funds(documents) == 4


def test_events_without_an_aggregate_log_are_applied_too(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    for version in range(1, 7):  # as another program writes them
        event = {"id": "a", "version": version, "type": "deposit", "amount": 1}
        store.redis.xadd(store.category, {"event": json.dumps(event)})
    with projecting(store, mongo, 2) as projector:
        assert [projector.run_once() for _ in range(4)] == [2, 2, 2, 0]
    assert funds(documents) == 6


def test_projector_continues_if_no_thread_can_start(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(read_ahead, "threading", types.SimpleNamespace(Thread=Refusing))
    fill(store, 5)
    with projecting(store, mongo, 2) as projector:
        assert projector.catch_up() == 8
    assert funds(documents) == 5


def test_events_before_a_corrupt_entry_that_was_read_ahead_are_applied(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    store.append("a", [Event("create"), *deposits(1, 1)], expected=0)
    position = store.redis.xadd(store.category, {"event": "no JSON"}).decode()
    with projecting(store, mongo, 2) as projector:
        assert [projector.run_once(), projector.run_once()] == [2, 1]
        with pytest.raises(CorruptEvent, match=position):
            projector.run_once()
    assert funds(documents) == 2


def test_large_events_are_not_all_read_ahead(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("a", [Event("noted", {"text": 100 * "x"}) for _ in range(10)], expected=0)
    monkeypatch.setattr(read_ahead, "MAX_BATCH_BYTES", 250)
    events = ReadAhead(CategoryStream(store.redis, store.keys))
    with events.reading("0-0", 10) as begin_reading:
        begin_reading()
    assert [event.version for event in events.events("0-0", 10)] == [1, 2]
    assert events.was_used


def test_events_read_ahead_are_used_once_and_only_after_their_position(store: EventStore) -> None:
    fill(store, 3)
    first, *later = [event.position for event in store.read_all()]
    events = ReadAhead(CategoryStream(store.redis, store.keys))

    def begin_and_wait() -> None:
        with events.reading(first, 2) as begin_reading:
            begin_reading()

    def found(after: str, limit: int) -> tuple[list[str], bool]:
        return [event.position for event in events.events(after, limit)], events.was_used

    begin_and_wait()
    assert found(first, 2) == (later[:2], True)
    assert found(first, 2) == (later[:2], False)
    begin_and_wait()
    assert found(later[0], 2) == (later[1:3], False)
    begin_and_wait()
    assert found(first, 1) == (later[:1], True)


def test_old_events_are_read_again(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 1)
    monkeypatch.setattr(read_ahead, "MAX_AGE_SECONDS", 0.0)
    events = ReadAhead(CategoryStream(store.redis, store.keys))
    with events.reading("0-0", 2) as begin_reading:
        begin_reading()
    assert [event.version for event in events.events("0-0", 2)] == [1, 2]
    assert not events.was_used


def test_standby_reads_nothing_ahead(
    store: EventStore, mongo: Any, documents: Any, limits: list[int]
) -> None:
    fill(store, 8)
    with projecting(store, mongo, 2) as active, projecting(store, mongo, 2) as standby:
        standby.position = "0-0"
        active.run_once()
        assert standby.run_once() == 0  # the active projector has moved the position
        events = standby._ahead
        assert limits == [2, 2]
        assert [event.version for event in events.events(str(active.position), 1)]
        assert not events.was_used


def test_rebuild_reads_ahead(
    store: EventStore, mongo: Any, documents: Any, limits: list[int]
) -> None:
    fill(store, 20)
    with projecting(store, mongo, 2) as projector:
        projector.catch_up()
        limits.clear()
        projector.rebuild(progress=False)
    assert 2 in limits
    assert funds(documents) == 20


@pytest.mark.parametrize("is_trimmed", [False, True], ids=["stream", "logs"])
def test_each_event_is_upcast_once_even_if_its_batch_is_repeated(
    store: EventStore,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_trimmed: bool,
) -> None:
    def in_cents(event: Recorded) -> Recorded:
        if event.data:
            event.data["amount"] *= 100
        return event

    upcasting = EventStore(store.redis, store.category, upcasters=[in_cents])
    fill(store, 9)
    bulk_write = Collection.bulk_write
    failures = iter([DocumentTooLarge("as for a large batch")])

    def refused_once(self: Any, *args: Any, **options: Any) -> Any:
        if ".rebuild-" in self.name:
            for failure in failures:
                raise failure
        return bulk_write(self, *args, **options)

    with projecting(upcasting, mongo, 4) as projector:
        projector.catch_up()
        assert funds(documents) == 900
        if is_trimmed:
            store.trim(before=store.head())
        monkeypatch.setattr(Collection, "bulk_write", refused_once)
        projector.rebuild(progress=False)
    assert next(failures, None) is None
    assert funds(documents) == 900


def test_rebuild_from_the_logs_reads_nothing_ahead(
    store: EventStore, mongo: Any, documents: Any, limits: list[int]
) -> None:
    fill(store, 20)
    with projecting(store, mongo, 2) as projector:
        projector.catch_up()
        assert 2 in limits
        limits.clear()
        store.trim(before=store.head())
        projector.rebuild(progress=False)
    assert limits
    assert not any(limits)
    assert funds(documents) == 20


def test_joined_view_reads_nothing_ahead(
    store: EventStore, mongo: Any, documents: Any, limits: list[int]
) -> None:
    class Joined(AccountView):
        def apply(self, event: Recorded, changes: Changes, category: str) -> None:  # type: ignore[override]
            super().apply(event, changes)

    fill(store, 8)
    other = EventStore(store.redis, f"{store.category}-other")
    view = Joined(store.category)
    with JoinedProjector([store, other], mongo, view, batch_size=2) as projector:
        projector.catch_up()
        projector.rebuild(progress=False)
    assert funds(documents) == 8
    assert limits
    assert not any(limits)


def test_slices_read_nothing_ahead(
    store: EventStore, mongo: Any, documents: Any, limits: list[int]
) -> None:
    sliced = EventStore(store.redis, store.category, slices=64)
    sliced.append("a", [Event("create"), *deposits(1, 1, 1, 1)], expected=0)
    with projecting(sliced, mongo, 2) as projector:
        assert projector.catch_up() == 5
        projector.rebuild(progress=False)
    sliced.drop()
    assert limits
    assert not any(limits)
