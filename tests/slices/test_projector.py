"""A view over 64 slices: exact, whoever follows, is killed, rebuilds or waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from pymongo.database import Database

from eventlab import (
    ANY,
    CategoryMismatch,
    Changes,
    CheckpointMissing,
    EventStore,
    InvalidArgument,
    Projector,
    RebuildOvertaken,
    Recorded,
    TrimRefused,
    ViewAhead,
    ViewLate,
    ViewStopped,
    ViewVersionMismatch,
)
from eventlab.accounts.views import AccountView, EventsByType
from eventlab.projections.view import CHECKPOINTS, PROJECTORS
from eventlab.slices.checkpoints import SlicedCheckpoint, slice_keys
from eventlab.slices.connections import limit_of
from eventlab.store.keys import order
from tests.support.store import deposits, fill
from tests.support.waiting import wait_until

Mongo = Database[dict[str, Any]]
IDS = [f"account{number}" for number in range(150)]


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category, slices=64)


@pytest.fixture
def filled(store: EventStore) -> EventStore:
    for id in IDS:
        fill(store, 2, id, amount=5)
    return store


@pytest.fixture
def projector(filled: EventStore, mongo: Mongo) -> Iterator[Projector]:
    with Projector(filled, mongo, AccountView(filled.category)) as projector:
        yield projector


def funds(projector: Projector) -> dict[str, int]:
    return {found["_id"]: found["funds"] for found in projector.mongo[projector.name].find()}


def truth(store: EventStore) -> dict[str, int]:
    found: dict[str, int] = {}
    for event in store.read_all():
        found[event.id] = found.get(event.id, 0) + event.data.get("amount", 0)
    return found


def checkpoints(projector: Projector) -> list[dict[str, Any]]:
    keys = slice_keys(projector.name, 64)
    return list(projector.mongo[CHECKPOINTS].find({"_id": {"$in": keys}}))


def test_catch_up_counts_each_event_once(filled: EventStore, projector: Projector) -> None:
    assert projector.catch_up() == 3 * len(IDS)
    assert projector.catch_up() == 0
    assert projector.run_once() == 0
    assert funds(projector) == truth(filled)
    assert len(checkpoints(projector)) == 64
    fill(filled, 1, "another")
    assert projector.run_once() == 2
    assert funds(projector) == truth(filled)


def test_empty_category_is_followed(store: EventStore, mongo: Mongo) -> None:
    with Projector(store, mongo, AccountView(store.category)) as projector:
        assert projector.catch_up() == projector.run_once() == 0
        assert projector.lag().events == 0
        assert projector.rebuild(progress=False) == 0
        fill(store, 1, "a")
        assert projector.catch_up() == 2


def test_documents_that_slices_share_are_exact(filled: EventStore, mongo: Mongo) -> None:
    with Projector(filled, mongo, EventsByType(filled.category)) as projector:
        stop = threading.Event()
        running = threading.Thread(target=projector.run, args=(stop,))
        running.start()
        for id in IDS:
            filled.append(id, deposits(1), expected=3)
        wait_until(lambda: projector.lag().events == 0)
        stop.set()
        running.join()
        counts = {found["_id"]: found["events"] for found in mongo[projector.name].find()}
        assert counts == {"create": len(IDS), "deposit": 3 * len(IDS)}


def test_several_projectors_share_the_slices(filled: EventStore, mongo: Mongo) -> None:
    view = AccountView(filled.category)
    projectors = [Projector(filled, mongo, view) for _ in range(3)]
    stops = [threading.Event() for _ in projectors]
    threads = [
        threading.Thread(target=each.run, args=(stop,), kwargs={"poll_interval": 0.25})
        for each, stop in zip(projectors, stops, strict=True)
    ]

    def active() -> list[int]:
        return sorted(sum(part.state == "active" for part in each._parts) for each in projectors)

    try:
        for thread in threads:
            thread.start()
        wait_until(lambda: active() == [21, 21, 22])
        for id in IDS:
            filled.append(id, deposits(1), expected=3)
        wait_until(lambda: projectors[0].lag().events == 0)
        stops[0].set()
        threads[0].join()
        wait_until(lambda: active()[1:] == [32, 32])
        for id in IDS:
            filled.append(id, deposits(1), expected=4)
        wait_until(lambda: projectors[0].lag().events == 0)
    finally:
        for stop in stops:
            stop.set()
        for thread in threads:
            thread.join()
    assert funds(projectors[0]) == truth(filled)
    for each in projectors:
        each.close()
    assert mongo[PROJECTORS].count_documents({"view": filled.category}) == 0


def test_slice_that_was_blocked_stands_by_when_it_is_another_projectors(
    projector: Projector,
) -> None:
    part = projector._parts[0]
    part._session.is_stuck("a transaction of another projector", 60)
    projector.shares._step, projector.shares._first = 2, 1  # there are two: the odd slices are ours
    stop = threading.Event()
    running = threading.Thread(target=part.run, args=(stop,), kwargs={"poll_interval": 0.01})
    running.start()
    try:
        wait_until(lambda: part.state == "standby")
    finally:
        stop.set()
        running.join()


def test_views_leave_connections_of_their_client_to_the_program(
    filled: EventStore, mongo: Mongo, caplog: pytest.LogCaptureFixture
) -> None:
    kwargs = filled.redis.connection_pool.connection_kwargs
    caplog.set_level(logging.INFO)
    with redis.Redis(unix_socket_path=kwargs["path"], max_connections=20) as client:
        store = EventStore(client, filled.category, slices=64)
        views = [AccountView(f"{filled.category}_{number}") for number in range(2)]
        projectors = [Projector(store, mongo, view) for view in views]
        stop = threading.Event()
        threads = [threading.Thread(target=each.run, args=(stop,)) for each in projectors]
        try:
            for thread in threads:
                thread.start()
            for id in IDS:
                store.append(id, deposits(1), expected=3)
            wait_until(lambda: not any(each.lag().events for each in projectors))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            for each in projectors:
                each.close()
    assert "Too many connections" not in caplog.text
    assert funds(projectors[1]) == truth(filled)


def test_connection_limit_is_shared_by_the_views_of_a_client() -> None:
    with redis.Redis(max_connections=20) as client, redis.Redis(max_connections=20) as other:
        limit = limit_of(client)
        assert limit is limit_of(client)
        assert limit is not limit_of(other)
        taken = 0
        while limit.waiting.acquire(blocking=False) or limit.working.acquire(blocking=False):
            taken += 1
        assert taken == 15  # the rest is the program's
        assert limit_of(object()) is not limit_of(object())  # a cluster has no pool of its own


def test_lag_is_that_of_all_slices(filled: EventStore, projector: Projector) -> None:
    assert projector.lag().events == 3 * len(IDS)
    projector.catch_up()
    assert projector.lag().events == 0
    assert projector.lag().position == filled.head()
    [event] = filled.append("account7", deposits(1), expected=3)
    lag = projector.lag()
    assert (lag.events, lag.exact) == (1, True)
    assert order(lag.position) < order(event.position)


def test_wait_until_looks_at_the_slice_of_the_aggregate(projector: Projector) -> None:
    projector.catch_up()
    projector.wait_until("account7", 3, seconds=60)
    projector.store.append("account7", deposits(1), expected=3)
    with pytest.raises(ViewLate):
        projector.wait_until("account7", 4, seconds=0.01)
    projector.catch_up()
    projector.wait_until("account7", 4, seconds=60)


class Fragile(AccountView):
    """A view that cannot apply the events of one account."""

    bad = "account7"

    def apply(self, event: Recorded, changes: Changes) -> None:
        if (event.id, event.version) == (self.bad, 2):
            raise ValueError("no such account")
        super().apply(event, changes)


def test_stopped_slice_stops_no_other_in_catch_up(filled: EventStore, mongo: Mongo) -> None:
    with Projector(filled, mongo, Fragile(filled.category)) as projector:
        with pytest.raises(ViewStopped, match="of 'account7'") as caught:
            projector.catch_up()
        expected = truth(filled)
        here = filled.slice_of("account7")
        assert funds(projector).items() >= {
            (id, amount) for id, amount in expected.items() if filled.slice_of(id) is not here
        }
        with pytest.raises(ViewStopped):
            projector.run(threading.Event())
        position = caught.value.event.position
        with pytest.raises(InvalidArgument, match="no slice of view"):
            projector.skip("1-0")
        projector.skip(position)
        projector.catch_up()
        expected["account7"] -= 5
        assert funds(projector) == expected


@pytest.mark.long
def test_rebuild_is_exact_while_others_follow_and_write(
    filled: EventStore, projector: Projector, mongo: Mongo
) -> None:
    with Projector(filled, mongo, AccountView(filled.category)) as live:
        stop = threading.Event()
        threads = [threading.Thread(target=live.run, args=(stop,))]
        threads.append(threading.Thread(target=keep_writing, args=(filled, stop)))
        for thread in threads:
            thread.start()
        mongo[filled.category].create_index("funds")
        counted = projector.rebuild(progress=False)
        stop.set()
        for thread in threads:
            thread.join()
        live.catch_up()
    assert counted >= 3 * len(IDS)
    assert funds(projector) == truth(filled)
    assert "funds_1" in mongo[filled.category].index_information()
    assert nothing_is_left(projector)


def keep_writing(store: EventStore, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        store.append(IDS[number % len(IDS)], deposits(1), expected=ANY)
        number += 1


def nothing_is_left(projector: Projector) -> bool:
    mongo = projector.mongo
    pattern = {"$regex": f"^{projector.name}.*rebuild"}
    left = list(mongo[CHECKPOINTS].find({"_id": pattern}))
    left += mongo.list_collection_names(filter={"name": pattern})
    fenced = [state for state in checkpoints(projector) if "fence" in state or "swap" in state]
    groups = {
        group["name"]
        for part in projector.store.all_slices()
        if projector.store.redis.exists(part.keys.stream)
        for group in projector.store.redis.xinfo_groups(part.keys.stream)
    }
    return not left and not fenced and groups <= {f"view {projector.name}".encode()}


def test_rebuild_after_a_trim_reads_the_logs(filled: EventStore, projector: Projector) -> None:
    projector.run_once()
    filled.append("account7", deposits(1), expected=3)
    with pytest.raises(TrimRefused):
        filled.trim(before=f"{order(filled.head())[0] + 1}-0")
    projector.catch_up()
    assert filled.trim(before=f"{order(filled.head())[0] + 1}-0") > 0
    expected = funds(projector)
    assert projector.rebuild(progress=False) == 3 * len(IDS) + 1
    assert funds(projector) == expected


STEPS = ["fence", "decide_swap", "finish_swap", "remove_rebuild"]


class Killed(BaseException):
    """The end of a process that is killed: none of its code runs anymore."""


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_rebuild_that_is_killed_leaves_one_whole_view(
    filled: EventStore,
    projector: Projector,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    when: str,
) -> None:
    projector.catch_up()
    plain = getattr(SlicedCheckpoint, step)

    def killed(self: SlicedCheckpoint, rebuild: str, *args: Any) -> Any:
        if when == "after":
            plain(self, rebuild, *args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(SlicedCheckpoint, step, killed)
        if step != "remove_rebuild":
            patch.setattr(SlicedCheckpoint, "remove_rebuild", lambda *_: None)
        with pytest.raises(Killed):
            projector.rebuild(progress=False)
    for id in IDS:
        filled.append(id, deposits(1), expected=3)
    stop = threading.Event()
    running = threading.Thread(target=projector.run, args=(stop,))
    running.start()
    wait_until(lambda: projector.lag().events == 0)  # a fence is broken, or its swap finished
    stop.set()
    running.join()
    assert funds(projector) == truth(filled)
    projector.rebuild(progress=False)
    assert funds(projector) == truth(filled)
    assert nothing_is_left(projector)


def test_later_rebuild_overtakes(projector: Projector, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SlicedCheckpoint.fence
    begun: list[str] = []

    def fence(self: SlicedCheckpoint, rebuild: str) -> None:
        if not begun:
            begun.append(rebuild)
            projector.rebuild(progress=False)
        plain(self, rebuild)

    monkeypatch.setattr(SlicedCheckpoint, "fence", fence)
    with pytest.raises(RebuildOvertaken):
        projector.rebuild(progress=False)
    projector.catch_up()
    assert funds(projector) == truth(projector.store)
    assert nothing_is_left(projector)


@pytest.mark.parametrize("lives", [True, False])
def test_rebuild_waits_for_the_fence_of_one_slice(
    projector: Projector, monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    projector.catch_up()
    documents = projector.mongo[CHECKPOINTS]
    other = f"{projector.name}.one-01234567"
    seventh = {"_id": f"{projector.name}$7"}
    documents.update_one(seventh, {"$set": {"fence": other}})
    plain = SlicedCheckpoint.read_unfenced
    seen: list[set[str | None]] = []

    def read_unfenced(self: SlicedCheckpoint) -> Any:
        seen.append({state.get("fence") for state in checkpoints(projector)})
        if lives:
            documents.update_one(seventh, {"$unset": {"fence": 1}})
        return plain(self)

    monkeypatch.setattr(SlicedCheckpoint, "read_unfenced", read_unfenced)
    projector.rebuild(progress=False)
    assert seen  # none of them is fenced while one is not free; a dead fence is broken
    assert all(fences <= {None, other} for fences in seen)
    assert funds(projector) == truth(projector.store)
    assert nothing_is_left(projector)


def test_rebuild_one_is_exact_while_others_follow(projector: Projector) -> None:
    projector.catch_up()
    projector.mongo[projector.name].update_one({"_id": "account7"}, {"$set": {"funds": 999}})
    stop = threading.Event()
    threads = [threading.Thread(target=projector.run, args=(stop,))]
    threads.append(threading.Thread(target=keep_writing, args=(projector.store, stop)))
    for thread in threads:
        thread.start()
    with Projector(projector.store, projector.mongo, projector.view) as other:
        assert other.rebuild_one("account7") >= 3
    stop.set()
    for thread in threads:
        thread.join()
    projector.catch_up()
    assert funds(projector) == truth(projector.store)
    assert nothing_is_left(projector)


def test_documents_without_all_checkpoints_are_not_counted_over(projector: Projector) -> None:
    projector.catch_up()
    projector.mongo[CHECKPOINTS].delete_one({"_id": f"{projector.name}$7"})
    with Projector(projector.store, projector.mongo, projector.view) as other:
        with pytest.raises(CheckpointMissing):
            other.catch_up()
        other.rebuild(progress=False)
        assert funds(other) == truth(projector.store)


def test_reset_begins_again(projector: Projector) -> None:
    projector.catch_up()
    projector.reset()
    assert funds(projector) == {}
    assert projector.catch_up() == 3 * len(IDS)
    assert funds(projector) == truth(projector.store)


def test_view_of_another_layout_or_version_is_named(
    projector: Projector, redis_client: redis.Redis, mongo: Mongo, category: str
) -> None:
    projector.catch_up()
    other = EventStore(redis_client, f"{category}-other")
    fill(other, 1, "a")
    with (
        Projector(other, mongo, AccountView(category)) as one,
        pytest.raises(CategoryMismatch),
    ):
        one.catch_up()

    class Newer(AccountView):
        version = 2

    with Projector(projector.store, mongo, Newer(category)) as newer:
        newer.rebuild(progress=False)
        assert newer.catch_up() == 0
        assert funds(newer) == truth(projector.store)
    fill(projector.store, 1, "new")
    for call in (projector.catch_up, projector.lag, lambda: projector.run(threading.Event())):
        with pytest.raises(ViewVersionMismatch):
            call()


def test_lost_slice_is_noticed(projector: Projector) -> None:
    projector.catch_up()
    part = projector.store.slice_of("account7")
    part.redis.delete(part.keys.stream, part.keys.ids, part.keys.log("account7"))
    part.append("account7", deposits(1), expected=0)
    with pytest.raises(ViewAhead):
        projector.catch_up()
