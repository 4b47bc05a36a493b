"""A projector reads and folds the next batch while MongoDB stores the current one."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from pymongo import _csot
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
from eventlab.projections.read_ahead import Batch, ReadAhead
from eventlab.store.stream import CategoryStream
from tests.projections.support import fill, funds
from tests.support.waiting import wait_until


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of events in each batch that was read ahead; the commit waits for the reading."""
    found: list[int] = []
    read = threading.Event()
    during = ReadAhead.during
    fold_next = ReadAhead._next

    def noted(self: ReadAhead, after: str, limit: int, ended: threading.Event) -> Batch:
        try:
            batch = fold_next(self, after, limit, ended)
        finally:
            read.set()
        found.append(len(batch[0]))
        return batch

    def patient(self: ReadAhead, commit: Commit, after: str, limit: int) -> bool | None:
        def commit_later(begun: threading.Event) -> bool | None:
            result = commit(begun)
            if limit and begun.is_set():
                wait_until(read.is_set)
            return result

        read.clear()
        return during(self, commit_later, after, limit)

    monkeypatch.setattr(ReadAhead, "during", patient)
    monkeypatch.setattr(ReadAhead, "_next", noted)
    return found


Commit = Callable[[threading.Event], bool | None]


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
    store: EventStore, mongo: Any, documents: Any, ahead: list[int]
) -> None:
    store.append("a", [Event("create"), *deposits(1, 10, 10)], expected=0)
    lost = [event.position for event in store.read("a", after=2)]
    with projecting(store, mongo, 2) as projector:
        assert projector.run_once() == 2
        assert ahead == [2]
        # As after a failover: two events are gone, and others have taken their versions.
        store.redis.ltrim(store.keys.log("a"), 0, 1)
        store.redis.xdel(store.category, *lost)
        store.append("a", deposits(2, 2), expected=2)
        assert projector.run_once() == 2
    assert funds(documents) == 5


def test_lost_event_that_was_read_ahead_does_not_stop_the_view(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unfolded(self: ReadAhead, after: str, limit: int, _ended: threading.Event) -> Batch:
        return list(self._read(after, limit)), Changes(), 0

    def begin_first(self: ReadAhead, commit: Commit, after: str, limit: int) -> bool | None:
        self._found = after, time.monotonic() + 600, self._next(after, limit, threading.Event())
        return commit(threading.Event())

    monkeypatch.setattr(ReadAhead, "_next", unfolded)
    monkeypatch.setattr(ReadAhead, "during", begin_first)
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
    refused: list[str] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "ThreadPoolExecutor" in thread.name:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    fill(store, 5)
    with projecting(store, mongo, 2) as projector:
        assert projector.catch_up() == 8
    assert refused
    assert funds(documents) == 5


def test_events_before_a_corrupt_entry_that_was_read_ahead_are_applied(
    store: EventStore, mongo: Any, documents: Any, ahead: list[int]
) -> None:
    store.append("a", [Event("create"), *deposits(1, 1)], expected=0)
    position = store.redis.xadd(store.category, {"event": "no JSON"}).decode()
    with projecting(store, mongo, 2) as projector:
        assert [projector.run_once(), projector.run_once()] == [2, 1]
        with pytest.raises(CorruptEvent, match=position):
            projector.run_once()
    assert funds(documents) == 2


def test_large_events_are_not_all_read_ahead(
    store: EventStore,
    mongo: Any,
    documents: Any,
    ahead: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = Event("deposit", {"amount": 1, "text": 100 * "x"})
    store.append("a", [Event("create"), *deposits(1, 1), *[large] * 10], expected=0)
    monkeypatch.setattr(read_ahead, "MAX_BATCH_BYTES", 300)
    with projecting(store, mongo, 3) as projector:
        assert [projector.run_once(), projector.run_once()] == [3, 2]
        assert projector.catch_up() == 8
    assert ahead == [2]
    assert funds(documents) == 12


class Versions:
    """A view that counts the events of each version; ``apply`` first calls ``before``."""

    name = "versions"

    def __init__(self) -> None:
        self.before: Callable[[int], object] = lambda _version: None

    def apply(self, event: Recorded, changes: Changes) -> None:
        self.before(event.version)
        changes[event.version].inc("events", 1)


@pytest.fixture
def view() -> Versions:
    """A view that needs no server."""
    return Versions()


def reading(view: Versions, count: int) -> ReadAhead:
    """Return a ReadAhead of ``count`` events, at the positions 1-0, 2-0 and so on."""
    events = [Recorded("a", n, "create", {}, f"{n}-0") for n in range(1, count + 1)]
    return ReadAhead(lambda _after, limit: events[:limit], view)


def read_ahead_to(view: Versions, last: int) -> ReadAhead:
    """Return a ReadAhead of four events; the commit ended while the view applied ``last``."""
    ended = threading.Event()
    reached = threading.Event()

    def before(version: int) -> None:
        if version == last:
            reached.set()
            assert ended.wait(60)

    def commit(begun: threading.Event) -> None:
        begun.set()
        assert reached.wait(60)

    class Ending(ReadAhead):
        def _next(self, after: str, limit: int, ends: threading.Event) -> Batch:
            threading.Thread(target=lambda: ends.wait(60) and ended.set()).start()
            return super()._next(after, limit, ends)

    view.before = before
    ahead = Ending(reading(view, 4)._read, view)
    ahead.during(commit, "0-0", 4)
    return ahead


def versions_of(batch: Batch | None) -> tuple[list[int], list[int], int] | None:
    """Return the versions of a batch, the ids of the changes, and the number of folded events."""
    if batch is None:
        return None
    events, changes, folded = batch
    return [event.version for event in events], list(changes), folded


def test_folding_ends_with_the_commit(view: Versions) -> None:
    ahead = read_ahead_to(view, 2)
    assert versions_of(ahead.take("0-0", 4)) == ([1, 2, 3, 4], [1, 2], 2)


def test_events_that_were_read_ahead_are_used_once(view: Versions) -> None:
    ahead = read_ahead_to(view, 4)
    assert versions_of(ahead.take("0-0", 4)) == ([1, 2, 3, 4], [1, 2, 3, 4], 4)
    assert ahead.take("0-0", 4) is None


def test_events_that_were_read_ahead_are_used_only_after_their_position(view: Versions) -> None:
    ahead = read_ahead_to(view, 4)
    assert ahead.take("1-0", 4) is None
    assert ahead.take("0-0", 4) is None


def test_smaller_batch_uses_some_of_the_events_that_were_read_ahead(view: Versions) -> None:
    assert versions_of(read_ahead_to(view, 2).take("0-0", 3)) == ([1, 2, 3], [1, 2], 2)


def test_batch_smaller_than_the_folded_events_is_read_again(view: Versions) -> None:
    assert read_ahead_to(view, 4).take("0-0", 3) is None


def test_old_events_are_read_again(view: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MAX_AGE_SECONDS", 0.0)
    assert read_ahead_to(view, 4).take("0-0", 4) is None


def test_empty_batch_is_not_kept(view: Versions) -> None:
    was_read = threading.Event()

    def read(_after: str, _limit: int) -> list[Recorded]:
        was_read.set()
        return []

    def commit(begun: threading.Event) -> bool:
        begun.set()
        return was_read.wait(60)

    ahead = ReadAhead(read, view)
    assert ahead.during(commit, "0-0", 4)
    assert ahead.take("0-0", 4) is None


def test_nothing_is_read_ahead_before_the_position_has_moved(view: Versions) -> None:
    asked: list[str] = []
    ahead = ReadAhead(lambda after, _limit: asked.append(after) or [], view)
    assert ahead.during(lambda _begun: False, "0-0", 4) is False
    assert asked == []


def test_error_of_the_thread_reaches_the_caller(view: Versions) -> None:
    def fail(begun: threading.Event) -> bool:
        begun.set()
        raise DocumentTooLarge("as for a large batch")

    with pytest.raises(DocumentTooLarge, match="as for a large batch"):
        reading(view, 4).during(fail, "0-0", 4)


def test_thread_obeys_the_time_limit_of_the_caller(view: Versions) -> None:
    with pymongo.timeout(60):
        assert reading(view, 4).during(lambda _begun: _csot.get_timeout() == 60, "0-0", 4)


class ThreadRecorder(AccountView):
    """A view that records the thread of each event, and can be interrupted at version 3."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.threads: list[threading.Thread] = []
        self.interrupts = False

    def apply(self, event: Recorded, changes: Changes) -> None:
        self.threads.append(threading.current_thread())
        if self.interrupts and event.version == 3:
            self.interrupts = False
            raise KeyboardInterrupt
        super().apply(event, changes)


@pytest.fixture
def recorder(store: EventStore) -> ThreadRecorder:
    """A view of a category that has one aggregate with four events."""
    store.append("a", [Event("create"), *deposits(1, 1, 1)], expected=0)
    return ThreadRecorder(store.category)


def test_caller_folds_the_next_batch_during_the_commit(
    store: EventStore,
    mongo: Any,
    documents: Any,
    recorder: ThreadRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bulk_write = Collection.bulk_write

    def stored(self: Any, *args: Any, **options: Any) -> Any:
        if self.name == store.category and not documents.find_one():
            wait_until(lambda: len(recorder.threads) == 4)
        return bulk_write(self, *args, **options)

    monkeypatch.setattr(Collection, "bulk_write", stored)
    with Projector(store, mongo, recorder, batch_size=2) as projector:
        assert projector.catch_up() == 4
    assert recorder.threads == [threading.current_thread()] * 4  # each event is folded once
    assert funds(documents) == 3


def test_interrupt_waits_for_the_commit_while_the_view_is_folding(
    store: EventStore,
    mongo: Any,
    documents: Any,
    recorder: ThreadRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder.interrupts = True
    bulk_write = Collection.bulk_write

    def stored(self: Any, *args: Any, **options: Any) -> Any:
        assert wait_until(lambda: not recorder.interrupts)
        time.sleep(0.1)  # without the wait, the test would read the documents before this write
        return bulk_write(self, *args, **options)

    with Projector(store, mongo, recorder, batch_size=2) as projector:
        assert projector.lag().events == 4
        monkeypatch.setattr(Collection, "bulk_write", stored)
        with pytest.raises(KeyboardInterrupt):
            projector.run_once()
        assert documents.find_one()["version"] == 2
        assert projector.catch_up() == 2
    assert funds(documents) == 3


def test_interrupt_waits_for_the_commit_when_nothing_is_left_to_fold(
    store: EventStore,
    mongo: Any,
    documents: Any,
    recorder: ThreadRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bulk_write = Collection.bulk_write
    main = threading.get_ident()

    def stored(self: Any, *args: Any, **options: Any) -> Any:
        if self.name == store.category and not written:
            written.append(1)
            assert wait_until(lambda: len(recorder.threads) == 4)
            time.sleep(0.05)  # the caller begins to wait
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.1)  # without the wait, the test would read the documents before this write
        return bulk_write(self, *args, **options)

    written: list[int] = []
    monkeypatch.setattr(Collection, "bulk_write", stored)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Projector(store, mongo, recorder, batch_size=2) as projector:
            with pytest.raises(KeyboardInterrupt):
                projector.run_once()
            assert documents.find_one()["version"] == 2
            assert projector.catch_up() == 2
    finally:
        signal.signal(signal.SIGINT, before)
    assert funds(documents) == 3
    assert mongo.projectors.find_one({"view": store.category}) is None  # the session was closed


def test_projector_continues_after_a_second_interrupt(
    store: EventStore,
    mongo: Any,
    documents: Any,
    recorder: ThreadRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder.interrupts = True  # the first interrupt
    bulk_write = Collection.bulk_write
    main = threading.get_ident()
    was_called = threading.Event()
    is_abandoned = threading.Event()
    may_go_on = threading.Event()
    has_ended = threading.Event()

    def interrupt_once(*_: object) -> None:
        if not is_abandoned.is_set():
            is_abandoned.set()
            raise KeyboardInterrupt

    def stored(self: Any, *args: Any, **options: Any) -> Any:
        if self.name != store.category or was_called.is_set():
            return bulk_write(self, *args, **options)
        was_called.set()
        try:  # simulate a MongoDB that hangs
            assert wait_until(lambda: not recorder.interrupts)
            while not is_abandoned.wait(0.1):
                signal.pthread_kill(main, signal.SIGINT)
            assert may_go_on.wait(60)
            return bulk_write(self, *args, **options)
        finally:
            has_ended.set()

    monkeypatch.setattr(Collection, "bulk_write", stored)
    before = signal.signal(signal.SIGINT, interrupt_once)
    try:
        with Projector(store, mongo, recorder, batch_size=2) as projector:
            with pytest.raises(KeyboardInterrupt):
                projector.run_once()
            assert is_abandoned.is_set()
            assert projector.catch_up() == 4  # although the thread has left its transaction open
    finally:
        may_go_on.set()
        is_abandoned.set()
        assert has_ended.wait(60)
        signal.signal(signal.SIGINT, before)
    assert funds(documents) == 3


def test_each_event_is_applied_once_if_the_batch_size_shrinks(
    store: EventStore, mongo: Any, documents: Any, ahead: list[int]
) -> None:
    store.append("a", [Event("create"), *deposits(1, 1, 1, 1, 1)], expected=0)
    with projecting(store, mongo, 2) as projector:
        assert projector.run_once() == 2
        assert ahead == [2]
        projector._batch_size = 1  # as after a slow batch
        assert projector.run_once() == 1
        assert projector.catch_up() == 3
    assert funds(documents) == 5


def test_slow_view_does_not_prolong_the_transaction(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_folding = threading.Event()
    bulk_write = Collection.bulk_write

    class Slow(AccountView):
        def apply(self, event: Recorded, changes: Changes) -> None:
            if event.version == 3:
                is_folding.set()
                # The first batch becomes visible while the second one is being folded.
                assert wait_until(lambda: documents.find_one({"version": 2}))
                waited.append(event.version)
            super().apply(event, changes)

    waited: list[int] = []

    def stored(self: Any, *args: Any, **options: Any) -> Any:
        if self.name == store.category:
            assert is_folding.wait(60)
        return bulk_write(self, *args, **options)

    store.append("a", [Event("create"), *deposits(1, 1, 1)], expected=0)
    monkeypatch.setattr(Collection, "bulk_write", stored)
    with Projector(store, mongo, Slow(store.category), batch_size=2) as projector:
        assert projector.run_once() == 2
        assert waited == [3]
        assert projector.run_once() == 2
    assert waited == [3]
    assert funds(documents) == 3


def test_standby_reads_nothing_ahead(
    store: EventStore, mongo: Any, documents: Any, ahead: list[int]
) -> None:
    fill(store, 8)
    with projecting(store, mongo, 2) as active, projecting(store, mongo, 2) as standby:
        standby.position = "0-0"
        active.run_once()
        assert standby.run_once() == 0  # the active projector has moved the position
    assert ahead == [2]


def test_rebuild_reads_ahead(
    store: EventStore, mongo: Any, documents: Any, ahead: list[int]
) -> None:
    fill(store, 20)
    with projecting(store, mongo, 2) as projector:
        projector.catch_up()
        ahead.clear()
        projector.rebuild(progress=False)
    assert 2 in ahead
    assert funds(documents) == 20


@pytest.mark.parametrize("is_trimmed", [False, True], ids=["stream", "logs"])
def test_each_event_is_upcast_once_even_if_its_batch_is_repeated(
    store: EventStore,
    mongo: Any,
    documents: Any,
    ahead: list[int],
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
        assert ahead
        if is_trimmed:
            store.trim(before=store.head())
        monkeypatch.setattr(Collection, "bulk_write", refused_once)
        projector.rebuild(progress=False)
    assert next(failures, None) is None
    assert funds(documents) == 900


def test_rebuild_from_the_logs_reads_nothing_ahead(
    store: EventStore, mongo: Any, documents: Any, ahead: list[int]
) -> None:
    fill(store, 20)
    with projecting(store, mongo, 2) as projector:
        projector.catch_up()
        assert 2 in ahead
        ahead.clear()
        store.trim(before=store.head())
        projector.rebuild(progress=False)
    assert ahead == []
    assert funds(documents) == 20


def test_joined_view_reads_nothing_ahead(
    store: EventStore, mongo: Any, documents: Any, ahead: list[int]
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
    assert ahead == []


def test_slices_read_nothing_ahead(
    store: EventStore, mongo: Any, documents: Any, ahead: list[int]
) -> None:
    sliced = EventStore(store.redis, store.category, slices=64)
    sliced.append("a", [Event("create"), *deposits(1, 1, 1, 1)], expected=0)
    with projecting(sliced, mongo, 2) as projector:
        assert projector.catch_up() == 5
        projector.rebuild(progress=False)
    sliced.drop()
    assert ahead == []
