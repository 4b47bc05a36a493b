"""A newer version of a view is built alongside the older one, then replaces it."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from typing import Any

import pytest

from eventlab import (
    Changes,
    EventStore,
    Projector,
    Recorded,
    TrimRefused,
    ViewLate,
    ViewStopped,
    ViewVersionMismatch,
)
from eventlab.accounts import AccountView
from eventlab.projections import checkpoint
from eventlab.projections.checkpoint import SHARED, Checkpoint, RebuildCheckpoint
from eventlab.projections.upgrade import Upgrade
from eventlab.servers import connect
from tests.projections.support import fill, funds, left_over
from tests.support.killed_process import killed_at
from tests.support.processes import forked
from tests.support.waiting import wait_until


class Versioned(AccountView):
    """The accounts, with a field that says which version of the code made the document."""

    def __init__(self, name: str, version: int = 2) -> None:
        super().__init__(name)
        self.version = version

    def apply(self, event: Recorded, changes: Changes) -> None:
        super().apply(event, changes)
        changes[event.id].set("made_by", self.version)


def makers(documents: Any) -> set[int | None]:
    return {document.get("made_by", 1) for document in documents.find()}


def shared(mongo: Any, store: EventStore) -> list[str]:
    """Return the names of the upgrades that are under way."""
    found = mongo.projections.find(
        {"_id": {"$regex": f"^{re.escape(store.category)}"}, SHARED: {"$exists": True}}
    )
    return [state["_id"] for state in found]


def assert_exact(store: EventStore, documents: Any, version: int) -> None:
    """Assert that every event counts once, in documents of this version."""
    assert makers(documents) == {version}
    assert {each["_id"]: each["version"] for each in documents.find()} == {
        id: store.version(id) for id in store.ids()
    }
    deposits = sum(event.type == "deposit" for event in store.read_all())
    assert funds(documents) == deposits


@pytest.fixture
def newer(store: EventStore, mongo: Any, documents: Any) -> Any:
    """A projector of version 2 of this test's view, in small batches."""
    with Projector(store, mongo, Versioned(store.category), batch_size=4) as newer:
        yield newer


def test_older_documents_stay_readable_until_the_newer_have_caught_up(
    store: EventStore, projector: Projector, newer: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 12)
    projector.catch_up()
    documents.create_index("funds", name="by funds")
    before = list(documents.find().sort("_id"))
    counted = 0
    while makers(documents) == {1}:
        assert list(documents.find().sort("_id")) == before
        more = newer.run_once()
        assert more <= 4
        counted += more
    assert counted == 15
    assert_exact(store, documents, 2)
    assert documents.index_information().keys() == {"_id_", "by funds"}
    assert left_over(mongo, store) == []
    fill(store, 3)
    assert newer.catch_up() == 3
    assert_exact(store, documents, 2)


def test_catch_up_ends_with_the_newer_documents(
    store: EventStore, projector: Projector, newer: Projector, documents: Any
) -> None:
    fill(store, 12)
    projector.catch_up()
    assert newer.catch_up() == 15
    assert_exact(store, documents, 2)
    assert newer.catch_up() == 0


def test_older_projector_follows_until_the_swap_and_then_stops_by_name(
    store: EventStore, projector: Projector, newer: Projector, documents: Any
) -> None:
    fill(store, 12)
    projector.catch_up()
    newer.run_once()
    fill(store, 3)
    assert projector.catch_up() == 3
    assert makers(documents) == {1}
    newer.catch_up()
    assert_exact(store, documents, 2)
    fill(store, 1)
    assert projector.run_once() == 0  # its transaction is refused: the version is another one
    with pytest.raises(ViewVersionMismatch, match=r"version 2 .*version 1: run the newer code"):
        projector.run_once()
    newer.catch_up()
    assert_exact(store, documents, 2)


def test_events_of_an_older_projector_between_catching_up_and_the_fence_are_counted(
    store: EventStore,
    projector: Projector,
    newer: Projector,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, 6)
    projector.catch_up()
    plain = Upgrade._swap

    def append_first(upgrade: Upgrade) -> bool:
        fill(store, 3)
        assert projector.catch_up() == 3
        return plain(upgrade)

    monkeypatch.setattr(Upgrade, "_swap", append_first)
    newer.catch_up()
    assert_exact(store, documents, 2)


def test_newer_documents_replace_the_older_while_events_never_stop_arriving(
    store: EventStore,
    projector: Projector,
    newer: Projector,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, 6)
    projector.catch_up()
    plain = Upgrade.run_once

    def append_after(upgrade: Upgrade) -> int:
        counted = plain(upgrade)
        fill(store, 1)
        return counted

    monkeypatch.setattr(Upgrade, "run_once", append_after)
    counted = sum(newer.run_once() for _ in range(20))
    assert makers(documents) == {2}
    assert counted + newer.catch_up() == len(list(store.read_all()))
    assert_exact(store, documents, 2)


def test_lag_and_wait_until_are_of_the_newer_documents(
    store: EventStore, projector: Projector, newer: Projector, documents: Any
) -> None:
    fill(store, 6)
    projector.catch_up()
    lag = newer.lag()
    assert (lag.events, lag.replaces, lag.position) == (9, 1, "0-0")
    newer.run_once()
    assert newer.lag().events == 5
    assert newer.lag().replaces == 1
    assert projector.lag().replaces is None
    with pytest.raises(ViewLate):
        newer.wait_until("account-0", 1, seconds=0.0)
    newer.catch_up()
    assert (newer.lag().events, newer.lag().replaces) == (0, None)
    newer.wait_until("account-0", 1, seconds=60)


def test_new_view_of_any_version_has_nothing_to_replace(
    store: EventStore, newer: Projector, mongo: Any, documents: Any
) -> None:
    assert newer.lag().replaces is None
    fill(store, 6)
    assert newer.run_once() == 4
    assert makers(documents) == {2}
    assert shared(mongo, store) == []


def test_documents_of_an_earlier_release_are_of_version_1(
    store: EventStore, projector: Projector, newer: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 6)
    projector.catch_up()
    mongo.projections.update_one(
        {"_id": store.category}, {"$unset": {"version": 1, "category": 1, "event": 1}}
    )
    newer.catch_up()
    assert_exact(store, documents, 2)


# ------------------------------------------------------- several at the same time


def test_two_projectors_build_the_same_documents(
    store: EventStore, projector: Projector, newer: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 30)
    projector.catch_up()
    with Projector(store, mongo, Versioned(store.category), batch_size=4) as other:
        counted = 0
        while makers(documents) == {1}:
            counted += newer.run_once() + other.run_once()
            assert len(shared(mongo, store)) <= 1
        assert counted == 33
        assert other.catch_up() == newer.catch_up() == 0
    assert_exact(store, documents, 2)
    assert left_over(mongo, store) == []


def test_two_upgrades_that_begin_at_once_build_one_collection(
    store: EventStore,
    projector: Projector,
    newer: Projector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, 12)
    projector.catch_up()
    plain = RebuildCheckpoint.share
    with Projector(store, mongo, Versioned(store.category), batch_size=4) as other:
        once = itertools.count()

        def another_first(own: RebuildCheckpoint) -> None:
            if next(once) == 0:
                assert other.run_once() == 4
            plain(own)

        monkeypatch.setattr(RebuildCheckpoint, "share", another_first)
        assert newer.run_once() == 4
        assert len(shared(mongo, store)) == 1
        assert other.lag().events == 7
        other.catch_up()
    newer.catch_up()
    assert_exact(store, documents, 2)
    assert left_over(mongo, store) == []


@pytest.mark.parametrize("first", [2, 3])
def test_highest_of_three_versions_wins(
    store: EventStore,
    projector: Projector,
    newer: Projector,
    mongo: Any,
    documents: Any,
    first: int,
) -> None:
    fill(store, 12)
    projector.catch_up()
    with Projector(store, mongo, Versioned(store.category, 3), batch_size=4) as newest:
        newer.run_once()
        newest.run_once()
        assert len(shared(mongo, store)) == 2
        if first == 2:
            newer.catch_up()
            assert_exact(store, documents, 2)
            assert len(shared(mongo, store)) == 1  # the newer version is not disturbed
            assert newest.lag().events == 11
        newest.catch_up()
        assert_exact(store, documents, 3)
        for older in (projector, newer):
            older.position = None
            with pytest.raises(ViewVersionMismatch):
                older.catch_up()
        assert_exact(store, documents, 3)
    assert left_over(mongo, store) == []


def test_swap_that_comes_late_replaces_no_newer_version(
    store: EventStore,
    projector: Projector,
    newer: Projector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, 3)
    projector.catch_up()
    plain = Checkpoint.decide_swap
    newest = Projector(store, mongo, Versioned(store.category, 3))
    tries = itertools.count()

    def newest_first(live: Checkpoint, rebuild: str) -> Any:
        if next(tries) == 0:
            # Its fence is broken, another version swaps, and a twin of this one fences again.
            mongo.projections.update_one({"_id": live.name}, {"$unset": {"fence": 1}})
            newest.catch_up()
            twin = {"$set": {"fence": rebuild}}
            mongo.projections.update_one({"_id": live.name}, twin)
            mongo.projections.update_one(
                {"_id": rebuild}, {"$setOnInsert": {"position": "0-0", "version": 2}}, upsert=True
            )
        return plain(live, rebuild)

    monkeypatch.setattr(Checkpoint, "decide_swap", newest_first)
    with newest, pytest.raises(ViewVersionMismatch):
        newer.catch_up()
    assert_exact(store, documents, 3)
    assert left_over(mongo, store) == []


def test_swap_that_is_finished_twice_does_not_move_the_position_back(
    store: EventStore,
    projector: Projector,
    newer: Projector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A projector that shares the rebuild fences again, after the swap; another one is late."""
    fill(store, 3)
    projector.catch_up()
    plain = Checkpoint.finish_swap
    finished = list[Any]()

    def remember(live: Checkpoint, rebuild: str, swap: Any) -> None:
        plain(live, rebuild, swap)
        finished.append((live, rebuild, swap))

    monkeypatch.setattr(Checkpoint, "finish_swap", remember)
    newer.catch_up()
    fill(store, 3)
    newer.catch_up()
    [(live, rebuild, swap)] = finished
    mongo.projections.update_one({"_id": store.category}, {"$set": {"fence": rebuild}})
    plain(live, rebuild, swap)
    live.remove_rebuild(rebuild)
    newer.position = None
    assert newer.catch_up() == 0
    assert_exact(store, documents, 2)


def test_upgrade_that_a_rebuild_removes_restarts_if_needed(
    store: EventStore, projector: Projector, newer: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 12)
    projector.catch_up()
    newer.run_once()
    projector.rebuild(progress=False)  # of version 1
    assert makers(documents) == {1}
    newer.catch_up()
    assert_exact(store, documents, 2)
    newer.rebuild(progress=False)
    assert_exact(store, documents, 2)
    assert left_over(mongo, store) == []


def test_upgrade_overtakes_a_rebuild_that_was_killed(
    store: EventStore, projector: Projector, newer: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    dead = f"{store.category}.rebuild-00000000"
    mongo[dead].insert_one({"_id": 1})
    unborn = f"{store.category}.rebuild-00000001"
    mongo.projections.insert_one({"_id": unborn, "position": "0-0", "version": 1})
    newer.catch_up()
    assert left_over(mongo, store) == []


def test_upgrade_that_is_removed_while_it_begins_copies_every_index(
    store: EventStore,
    projector: Projector,
    newer: Projector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, 3)
    projector.catch_up()
    documents.create_index("funds", name="by funds")
    plain = RebuildCheckpoint.create
    once = itertools.count()

    def removed(own: RebuildCheckpoint) -> None:
        plain(own)
        if next(once) == 0:
            Checkpoint(store, own.session, store.category).remove_rebuild(own.name)

    monkeypatch.setattr(RebuildCheckpoint, "create", removed)
    newer.catch_up()
    assert next(once) == 2
    assert documents.index_information().keys() == {"_id_", "by funds"}
    assert left_over(mongo, store) == []


def test_reset_removes_an_upgrade(
    store: EventStore, projector: Projector, newer: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 6)
    projector.catch_up()
    newer.run_once()
    newer.reset()
    assert left_over(mongo, store) == []
    newer.catch_up()
    assert_exact(store, documents, 2)


# -------------------------------------------------------------------- stops, trims


class Broken(Versioned):
    def apply(self, event: Recorded, changes: Changes) -> None:
        if event.position == self.at:
            raise ValueError("not yet known")
        super().apply(event, changes)

    at = ""


def test_upgrade_that_stops_leaves_the_older_documents_and_resumes(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 12)
    projector.catch_up()
    view = Broken(store.category)
    view.at = [event.position for event in store.read_all()][9]
    with Projector(store, mongo, view, batch_size=4) as newer:
        with pytest.raises(ViewStopped, match=f"view {store.category!r} stopped"):
            newer.catch_up()
        assert makers(documents) == {1}
        fill(store, 3)
        assert projector.catch_up() == 3
        view.at = ""
        assert newer.catch_up() == 9
    assert_exact(store, documents, 2)


def test_trim_waits_for_an_upgrade(
    store: EventStore, projector: Projector, newer: Projector, documents: Any
) -> None:
    fill(store, 12)
    projector.catch_up()
    newer.run_once()
    with pytest.raises(TrimRefused, match="rebuild"):
        store.trim(before=store.head())
    newer.catch_up()
    assert store.trim(before=store.head()) == 14


@pytest.mark.parametrize("how", ["trimmed", "with holes"])
def test_upgrade_after_a_trim_is_continued_by_another_projector(
    store: EventStore, projector: Projector, newer: Projector, mongo: Any, documents: Any, how: str
) -> None:
    fill(store, 40)
    projector.catch_up()
    positions = [event.position for event in store.read_all()]
    if how == "trimmed":
        store.trim(before=positions[30])
    else:  # the 8th is the last of the first two batches
        store.redis.xdel(store.category, positions[0], *positions[7:40:5])
    deposits = 40
    with Projector(store, mongo, Versioned(store.category), batch_size=4) as other:
        counted = newer.run_once() + newer.run_once() + other.run_once() + other.run_once()
        assert counted == 16
        counted += newer.catch_up()  # where the other one was
        assert counted == 43
    assert makers(documents) == {2}
    assert funds(documents) == deposits
    assert left_over(mongo, store) == []


def test_event_at_its_position_may_be_deleted_from_the_stream_if_its_log_has_it(
    store: EventStore, projector: Projector, newer: Projector, documents: Any
) -> None:
    fill(store, 12)
    projector.catch_up()
    assert newer.run_once() == 4
    store.redis.xdel(store.category, [event.position for event in store.read_all()][3])
    assert newer.catch_up() == 11
    assert makers(documents) == {2}
    assert funds(documents) == 12


def test_projector_that_stands_by_takes_over_also_when_only_the_swap_is_left(
    store: EventStore, projector: Projector, newer: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    with Projector(store, mongo, Versioned(store.category)) as other:
        while newer.lag().events:
            newer.run_once()  # and is killed: there are no new events, and nobody swaps
        other._begin_upgrade()
        stop = threading.Event()
        waiting = threading.Thread(target=other._current()._stand_by, args=(stop, 0.01))
        waiting.start()
        try:
            wait_until(lambda: not waiting.is_alive())
        finally:
            stop.set()
            waiting.join()
        other.catch_up()
    assert_exact(store, documents, 2)


# -------------------------------------------------------------------------- killed


def _upgrade(category: str, version: int, batch_size: int) -> None:
    checkpoint.FENCE_SECONDS = 0.05
    view = Versioned(category, version)
    with (
        connect() as lab,
        Projector(
            EventStore(lab.redis, category), lab.mongo, view, batch_size=batch_size
        ) as projector,
    ):
        projector.catch_up()


@pytest.mark.crash
def test_view_is_whole_when_an_upgrade_is_killed_between_any_two_steps(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.05)
    version = 1
    for step in itertools.count(1, 5):  # before a command, or after it
        fill(store, 3)
        with Projector(store, mongo, Versioned(store.category, version)) as older:
            older.catch_up()
            assert_exact(store, documents, version)
            half = store.redis.xlen(store.category) // 2 + 1
            killed = killed_at(step, _upgrade, store.category, version + 1, half)
            fill(store, 1)
            if makers(documents) == {version}:
                older.position = None  # read it again, as after a crash
                with contextlib.suppress(ViewVersionMismatch):  # it finishes a swap
                    older.catch_up()
                    assert_exact(store, documents, version)
        version += 1
        if not killed:
            break
    with Projector(store, mongo, Versioned(store.category, version)) as last:
        last.catch_up()
    assert step > 60
    assert_exact(store, documents, version)
    assert left_over(mongo, store) == []


def _project(category: str, version: int) -> None:
    view = Versioned(category, version)
    with (
        connect() as lab,
        Projector(EventStore(lab.redis, category), lab.mongo, view, batch_size=20) as projector,
    ):
        projector.run(threading.Event(), poll_interval=0.05)


@pytest.mark.crash
def test_projectors_of_two_versions_are_killed_while_events_arrive(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    versions = [1, 1, 2, 2]
    fill(store, 60)
    processes: list[Any] = [None] * 4
    try:
        with Projector(store, mongo, Versioned(store.category, 1)) as older:
            older.catch_up()
        for number in range(24):
            at = number % 4
            if processes[at] is not None:
                processes[at].kill()
                processes[at].join()
            processes[at] = forked(_project, store.category, versions[at])
            processes[at].start()
            fill(store, 20)
        wait_until(lambda: makers(documents) == {2} and funds(documents) == 540, 60)
    finally:
        for process in filter(None, processes):
            process.kill()
            process.join()
    assert_exact(store, documents, 2)
