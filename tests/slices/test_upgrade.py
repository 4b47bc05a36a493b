"""A newer version of a view over 64 slices is built alongside the older one, then replaces it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from pymongo.database import Database

from eventlab import Changes, EventStore, Projector, Recorded, ViewLate, ViewVersionMismatch
from eventlab.accounts import AccountView
from eventlab.projections.view import CHECKPOINTS
from eventlab.slices.checkpoints import SlicedCheckpoint, slice_keys
from eventlab.slices.rebuild import SlicedUpgrade
from tests.slices.test_projector import nothing_is_left
from tests.support.store import deposits, fill
from tests.support.waiting import wait_until

Mongo = Database[dict[str, Any]]
IDS = [f"account{number}" for number in range(12)]


class Versioned(AccountView):
    """The accounts, with a field that says which version of the code made the document."""

    def __init__(self, name: str, version: int = 2) -> None:
        super().__init__(name)
        self.version = version

    def apply(self, event: Recorded, changes: Changes) -> None:
        super().apply(event, changes)
        changes[event.id].set("made_by", self.version)


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    store = EventStore(redis_client, category, slices=64)
    for id in IDS:
        fill(store, 2, id)
    return store


@pytest.fixture
def older(store: EventStore, mongo: Mongo) -> Iterator[Projector]:
    with Projector(store, mongo, Versioned(store.category, 1)) as older:
        yield older


@pytest.fixture
def newer(store: EventStore, mongo: Mongo) -> Iterator[Projector]:
    """A projector of version 2 of the view, in batches that are too small for any slice."""
    with Projector(store, mongo, Versioned(store.category), batch_size=2) as newer:
        yield newer


def makers(projector: Projector) -> set[int]:
    return {found["made_by"] for found in projector.mongo[projector.name].find()}


def assert_exact(projector: Projector, version: int) -> None:
    """Assert that every event counts once, in documents of this version, and nothing is left."""
    store = projector.store
    found = {each["_id"]: each for each in projector.mongo[projector.name].find()}
    assert {id: each["version"] for id, each in found.items()} == {
        id: store.version(id) for id in store.ids()
    }
    assert makers(projector) == {version}
    stored = projector.mongo[CHECKPOINTS].find({"_id": {"$in": slice_keys(projector.name, 64)}})
    assert [state["version"] for state in stored] == [version] * 64
    assert nothing_is_left(projector)


def test_older_documents_stay_readable_until_the_newer_have_caught_up(
    store: EventStore, older: Projector, newer: Projector, mongo: Mongo
) -> None:
    older.catch_up()
    mongo[store.category].create_index("funds", name="by funds")
    before = list(mongo[store.category].find().sort("_id"))
    assert newer.run_once() > 0
    assert list(mongo[store.category].find().sort("_id")) == before
    assert older.catch_up() == 0
    store.append(IDS[0], deposits(1), expected=3)
    assert older.catch_up() == 1
    assert makers(newer) == {1}
    newer.catch_up()
    assert_exact(newer, 2)
    assert "by funds" in mongo[store.category].index_information()
    store.append(IDS[0], deposits(1), expected=4)
    with pytest.raises(ViewVersionMismatch, match=r"version 2 .*version 1: run the newer code"):
        older.catch_up()
    assert newer.catch_up() == 1
    assert_exact(newer, 2)


@pytest.mark.long
def test_run_builds_and_follows_while_older_projectors_follow_and_others_write(
    store: EventStore, older: Projector, newer: Projector, mongo: Mongo
) -> None:
    older.catch_up()
    stop = threading.Event()
    stopped: list[ViewVersionMismatch] = []

    def run_older() -> None:
        try:
            older.run(stop, poll_interval=0.01)
        except ViewVersionMismatch as error:
            stopped.append(error)

    def write() -> None:
        for id in IDS:
            store.append(id, deposits(1), expected=3)
        fill(store, 3, "new")

    threads = [threading.Thread(target=each) for each in (run_older, write)]
    with Projector(store, mongo, Versioned(store.category)) as another:
        threads += [
            threading.Thread(target=each.run, args=(stop,), kwargs={"poll_interval": 0.01})
            for each in (newer, another)
        ]
        for thread in threads:
            thread.start()
        try:
            threads[1].join()
            wait_until(lambda: newer.lag().replaces is None and newer.lag().events == 0)
            wait_until(lambda: stopped)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert_exact(newer, 2)


def test_older_projector_without_new_events_stops_when_newer_documents_are_there(
    older: Projector, newer: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlab.slices.projector.IDLE_SECONDS", 0.1)
    older.catch_up()
    stop = threading.Event()
    stopped: list[ViewVersionMismatch] = []

    def run_older() -> None:
        try:
            older.run(stop, poll_interval=0.05)
        except ViewVersionMismatch as error:
            stopped.append(error)

    thread = threading.Thread(target=run_older)
    thread.start()
    try:
        wait_until(lambda: all(part.state == "active" for part in older._parts))  # type: ignore[attr-defined]
        newer.catch_up()
        wait_until(lambda: stopped)
    finally:
        stop.set()
        thread.join()
    assert stopped[0].stored == 2


def test_newer_documents_replace_the_older_ones_although_events_keep_coming(
    store: EventStore, older: Projector, newer: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    older.catch_up()
    plain = SlicedUpgrade.run_once
    rounds: list[int] = []

    def run_once(upgrade: SlicedUpgrade) -> int:
        store.append(IDS[0], deposits(1), expected=store.version(IDS[0]))
        rounds.append(plain(upgrade))
        assert rounds[-1] > 0
        return rounds[-1]

    monkeypatch.setattr(SlicedUpgrade, "run_once", run_once)
    while makers(newer) == {1}:
        newer.run_once()
        assert len(rounds) < 50
    assert_exact(newer, 2)


def test_projector_continues_what_a_killed_one_has_built(
    store: EventStore, older: Projector, newer: Projector, mongo: Mongo
) -> None:
    older.catch_up()
    killed = Projector(store, mongo, Versioned(store.category), batch_size=2)
    first = killed.run_once()  # and never again
    assert 0 < first < 3 * len(IDS)
    assert newer.lag().events == 3 * len(IDS) - first
    assert newer.catch_up() == 3 * len(IDS) - first
    assert_exact(newer, 2)
    killed.close()


def test_lag_and_wait_until_are_of_the_newer_documents(
    store: EventStore, older: Projector, newer: Projector
) -> None:
    older.catch_up()
    lag = newer.lag()
    assert (lag.events, lag.replaces) == (3 * len(IDS), 1)
    newer.run_once()
    assert 0 < newer.lag().events < 3 * len(IDS)
    assert older.lag().replaces is None
    with pytest.raises(ViewLate):
        newer.wait_until(IDS[0], 1, seconds=0.0)
    newer.catch_up()
    assert (newer.lag().events, newer.lag().replaces) == (0, None)
    newer.wait_until(IDS[0], 3, seconds=60)


def test_slice_without_events_is_of_the_version_of_the_others(
    store: EventStore, older: Projector, newer: Projector
) -> None:
    older.catch_up()
    fill(store, 1, "new")
    assert store.slice_of("new") not in [store.slice_of(id) for id in IDS]
    part = newer._parts[store.all_slices().index(store.slice_of("new"))]
    with pytest.raises(ViewVersionMismatch):
        part.run_once()
    assert makers(newer) == {1}
    newer.catch_up()
    assert_exact(newer, 2)


def test_slice_of_an_earlier_release_is_not_counted_by_another_version(
    store: EventStore, older: Projector, newer: Projector, mongo: Mongo
) -> None:
    older.catch_up()
    empty = {"_id": {"$regex": store.category}, "position": "0-0"}
    assert mongo[CHECKPOINTS].update_many(empty, {"$unset": {"version": 1}}).modified_count > 0
    fill(store, 1, "new")
    part = newer._parts[store.all_slices().index(store.slice_of("new"))]
    with pytest.raises(ViewVersionMismatch):
        part.run_once()
    assert makers(newer) == {1}


def test_upgrade_replaces_no_documents_of_an_even_newer_version(
    store: EventStore,
    older: Projector,
    newer: Projector,
    mongo: Mongo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older.catch_up()
    plain = SlicedCheckpoint.fence

    def fence(self: SlicedCheckpoint, rebuild: str) -> None:
        plain(self, rebuild)
        live = {"_id": {"$in": slice_keys(store.category, 64)}}
        mongo[CHECKPOINTS].update_many(live, {"$set": {"version": 3}})

    monkeypatch.setattr(SlicedCheckpoint, "fence", fence)
    with pytest.raises(ViewVersionMismatch, match="version 3 of its code"):
        newer.catch_up()
    assert makers(newer) == {1}
    assert nothing_is_left(newer)


@pytest.mark.parametrize("step", ["fence", "decide_swap", "finish_swap"])
def test_upgrade_that_is_killed_at_its_swap_is_finished_by_another(
    store: EventStore,
    older: Projector,
    newer: Projector,
    mongo: Mongo,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    older.catch_up()
    plain = getattr(SlicedCheckpoint, step)

    def killed(self: SlicedCheckpoint, rebuild: str, *args: Any) -> Any:
        if step != "finish_swap":
            plain(self, rebuild, *args)
        raise KeyboardInterrupt

    dead = Projector(store, mongo, Versioned(store.category))
    with monkeypatch.context() as patch:
        patch.setattr(SlicedCheckpoint, step, killed)
        with pytest.raises(KeyboardInterrupt):
            dead.catch_up()
    assert makers(newer) == {1}
    assert isinstance(dead._upgrade, SlicedUpgrade)
    newer.catch_up()
    assert_exact(newer, 2)
    dead.close()
