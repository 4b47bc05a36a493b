"""A view in MongoDB counts each event exactly once, whatever dies, repeats or overtakes."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from typing import Any

import pytest
import redis
from pymongo.collection import Collection
from pymongo.database import Database

from eventlab import (
    CorruptEvent,
    Event,
    EventStore,
    InvalidArgument,
    Recorded,
    TrimRefused,
    VersionConflict,
    ViewAhead,
    ViewLag,
    ViewLate,
    ViewStopped,
)
from eventlab.accounts import AccountService, AccountView
from eventlab.projections import follower
from eventlab.projections import projector as projection
from eventlab.projections.projector import Projector
from eventlab.projections.view import Changes
from eventlab.servers import connect
from tests.support.killed_process import killed_at
from tests.support.waiting import wait_until

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


@pytest.fixture
def documents(mongo: Database[dict[str, Any]], category: str) -> Any:
    yield mongo[category]
    mongo[category].drop()
    mongo.projections.delete_one({"_id": category})
    mongo.projectors.delete_many({"view": category})


@pytest.fixture
def projector(store: EventStore, mongo: Database[dict[str, Any]], documents: Any) -> Any:
    with Projector(store, mongo, AccountView(store.category)) as projector:
        yield projector


def test_the_state_of_the_original_post(
    redis_client: redis.Redis, category: str, mongo: Any, documents: Any
) -> None:
    times = iter([1551312621884, 1551312827949, 1551312847014])
    store = EventStore(redis_client, category, clock=times.__next__)
    service = AccountService(store)
    service.create("JohnDoe")
    service.deposit("JohnDoe", 100)
    service.withdraw("JohnDoe", 100)
    with Projector(store, mongo, AccountView(category)) as projector:
        assert projector.run_once() == 3
    timestamps = ["1551312621884-0", "1551312827949-0", "1551312847014-0"]
    assert list(documents.find()) == [
        {"_id": "JohnDoe", "funds": 0, "version": 3, "timestamps": timestamps}
    ]


def test_the_fold_is_pure_and_bounded() -> None:
    changes = Changes()
    view = AccountView()
    for version in range(1, 251):
        view.apply(Recorded("a", version, "deposit", {"amount": 2}, f"{version}-0"), changes)
    view.apply(Recorded("b", 1, "create", {}, "251-0"), changes)
    assert changes["a"].update() == {
        "$inc": {"funds": 500},
        "$set": {"version": 250},
        "$push": {"timestamps": {"$each": [f"{n}-0" for n in range(151, 251)], "$slice": -100}},
    }
    assert changes["b"].update()["$inc"] == {"funds": 0}


def test_batches_add_up(store: EventStore, projector: Projector, documents: Any) -> None:
    store.append("a", [Event("create")], expected=0)
    projector.run_once()
    store.append("a", [Event("deposit", {"amount": n}) for n in range(150)], expected=1)
    assert projector.catch_up() == 150
    assert projector.run_once() == 0
    [document] = documents.find()
    assert (document["funds"], document["version"]) == (sum(range(150)), 151)
    assert document["timestamps"] == [event.position for event in store.read("a", after=51)]


def test_a_second_projector_counts_nothing_twice(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 10)
    with Projector(store, mongo, AccountView(store.category)) as other:
        assert other.position is None
        projector.run_once()
        assert other.run_once() == 0
        fill(store, 5)
        stale = other.position
        projector.run_once()
        assert other.position == stale
        assert other.run_once() == 0  # fenced by the position
        fill(store, 3)
        assert other.catch_up() == 3
    assert funds(documents) == 18


def fill(store: EventStore, count: int) -> None:
    """So many deposits of 1, on three accounts."""
    for number in range(count):
        id = f"account-{number % 3}"
        if not store.version(id):
            store.append(id, [Event("create")], expected=0)
        store.append(id, [Event("deposit", {"amount": 1})], expected=store.version(id))


def funds(documents: Any) -> int:
    return sum(document["funds"] for document in documents.find())


def test_the_position_is_shown_as_a_group_so_trim_waits(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 4)
    projector.run_once()
    position = store.head()
    [group] = store.redis.xinfo_groups(store.category)
    assert (group["name"].decode(), group["last-delivered-id"].decode()) == (
        store.category,
        position,
    )
    fill(store, 4)
    with pytest.raises(TrimRefused):
        store.trim(before=store.head())
    projector.run_once()
    assert store.trim(before=store.head()) > 0
    fill(store, 2)
    assert projector.run_once() == 2


def test_it_stops_in_front_of_what_it_cannot_apply_and_goes_on_after_the_mend(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 6)
    bad = store.append(
        "account-0", [Event("bonus", {"amount": 5})], expected=store.version("account-0")
    )[0]
    fill(store, 6)
    for _ in range(2):
        with pytest.raises(ViewStopped) as stopped:
            projector.catch_up()
        assert stopped.value.event == bad
        assert funds(documents) == 6
    plain = projector.view.apply

    def mended(event: Recorded, changes: Changes) -> None:
        if event.type == "bonus":
            changes[event.id].inc("funds", event.data["amount"])
        else:
            plain(event, changes)

    projector.view.apply = mended  # type: ignore[method-assign]
    projector.catch_up()
    assert funds(documents) == 17


def test_what_a_failing_view_left_half_done_is_not_written(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    store.append("account-0", [Event("deposit", {"amount": "x"})], expected=2)

    def careless(event: Recorded, changes: Changes) -> None:
        changes[event.id].inc("funds", 1)
        changes[event.id].inc("funds", event.data.get("amount", 0))

    projector.view.apply = careless  # type: ignore[method-assign]
    with pytest.raises(ViewStopped):
        projector.catch_up()
    assert funds(documents) == 9


def test_a_view_ahead_of_its_log_says_so(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 6)
    projector.catch_up()
    store.drop()
    fill(store, 20)
    with Projector(store, mongo, AccountView(store.category)) as again, pytest.raises(ViewAhead):
        again.run_once()


def _project(category: str) -> None:
    with connect() as lab:
        Projector(
            EventStore(lab.redis, category), lab.mongo, AccountView(category), batch_size=4
        ).catch_up()


@pytest.mark.crash
def test_killed_between_any_two_steps_each_event_counts_once(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    total, kills = 0, 0
    for step in itertools.count(1):
        fill(store, 6)
        total += 6
        if not killed_at(step, _project, store.category):
            break
        kills += 1
        if (
            kills % 5 == 0
        ):  # now and then let it through, so that each step is met at a new position
            _project(store.category)
            assert funds(documents) == total
    _project(store.category)
    assert kills > 20
    assert funds(documents) == total
    assert {d["_id"]: d["version"] for d in documents.find()} == {
        id: store.version(id) for id in store.ids()
    }


def _open_and_hang(category: str, ready: Any) -> None:
    with connect() as lab:
        projector = Projector(EventStore(lab.redis, category), lab.mongo, AccountView(category))
        Collection.bulk_write = lambda *_, **__: (
            ready.set(),
            time.sleep(600),
        )  # inside its transaction
        projector.run_once()


def kill_one_in_its_transaction(category: str) -> None:
    ready = SPAWN.Event()
    dying = SPAWN.Process(target=_open_and_hang, args=(category, ready))
    dying.start()
    assert ready.wait(30)
    dying.kill()
    dying.join()


def test_a_dead_one_s_open_transaction_blocks_nobody_for_long(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 6)
    kill_one_in_its_transaction(store.category)
    began = time.monotonic()
    projector.catch_up()
    assert time.monotonic() - began < 5  # the promise; without the cure it is 60
    assert funds(documents) == 6


def _follow(category: str) -> None:
    with connect() as lab:
        projector = Projector(
            EventStore(lab.redis, category), lab.mongo, AccountView(category), batch_size=50
        )
        projector.catch_up()


def test_three_at_once_count_each_event_once(store: EventStore, documents: Any) -> None:
    fill(store, 600)
    processes = [SPAWN.Process(target=_follow, args=(store.category,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert funds(documents) == 600


def test_a_running_projector_counts_nothing_on_top_of_lost_events(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 6)
    projector.catch_up()
    store.redis.xdel(store.category, store.head())  # what a crash at everysec does to the tail
    fill(store, 1)
    with pytest.raises(ViewAhead):
        projector.run_once()


def test_a_stale_position_whose_events_were_trimmed_is_read_anew(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    with Projector(store, mongo, AccountView(store.category)) as other:
        fill(store, 6)
        other.catch_up()
    store.trim(before=store.head())
    assert projector.catch_up() == 0
    assert funds(documents) == 9


def test_a_field_takes_one_kind_of_change() -> None:
    change = Changes()["a"]
    change.inc("x", 1)
    with pytest.raises(ValueError, match="one of"):
        change.set("x", 1)


def test_the_newest_event_deleted_by_hand_ends_a_catch_up(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 3)
    projector.catch_up()
    fill(store, 1)
    store.redis.xdel(store.category, store.head())
    assert projector.catch_up() == 0


def test_the_lag_is_counted_from_the_position(store: EventStore, projector: Projector) -> None:
    assert (projector.lag().events, projector.lag().position) == (0, "0-0")
    fill(store, 5)
    lag = projector.lag()
    assert (lag.events, lag.exact) == (8, True)
    assert 0 <= lag.seconds < 600
    projector.catch_up()
    assert projector.lag() == ViewLag(store.head(), 0, 0.0, True)


def test_beyond_what_it_counts_the_lag_says_no_more_than(
    store: EventStore, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "MAX_COUNTED_EVENTS", 5)
    fill(store, 5)
    assert (projector.lag().events, projector.lag().exact) == (8, False)


def test_a_writer_reads_what_he_wrote(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(stop,), kwargs={"poll_interval": 0.05})
    thread.start()
    with Projector(store, projector.mongo, projector.view) as reader:
        for version in range(1, 21):
            kind, data = ("deposit", {"amount": 1}) if version > 1 else ("create", {})
            store.append("a", [Event(kind, data)], expected=version - 1)
            reader.wait_until("a", version)
            assert documents.find_one("a")["version"] >= version
    stop.set()
    thread.join()


def test_a_wait_for_what_does_not_come_ends_with_a_sentence(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 1)
    with pytest.raises(ViewLate, match="eventlab project"):
        projector.wait_until("account-0", 2, seconds=0.05)
    with pytest.raises(VersionConflict):
        projector.wait_until("account-0", 3)


def test_a_person_skips_the_event_by_its_name(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    bad = store.append("account-0", [Event("bonus", {"amount": 5})], expected=2)[0]
    fill(store, 3)
    with pytest.raises(ViewStopped):
        projector.catch_up()
    for other in (store.head(), "1-1"):
        with pytest.raises(InvalidArgument, match=bad.position):
            projector.skip(other)
    projector.skip(bad.position)
    projector.catch_up()
    assert funds(documents) == 6
    with pytest.raises(InvalidArgument, match="no event"):
        projector.skip(bad.position)


def test_what_stands_before_an_entry_that_is_no_event_is_applied(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    position = store.redis.xadd(store.category, {"event": "no JSON"}).decode()
    fill(store, 3)
    with pytest.raises(CorruptEvent, match=position):
        projector.catch_up()
    assert funds(documents) == 3
    projector.skip(position)
    projector.catch_up()
    assert funds(documents) == 6


def test_a_slow_batch_is_followed_by_a_smaller_one_until_it_is_fast_again(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 600)
    with Projector(store, mongo, AccountView(store.category), batch_size=100) as projector:
        monkeypatch.setattr(follower, "SLOW_SECONDS", 0.0)
        sizes = [projector.run_once() for _ in range(3)]
        assert sizes == [100, 1, 1]
        monkeypatch.setattr(follower, "SLOW_SECONDS", 600.0)
        assert [projector.run_once() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 64, 100, 100]


def test_of_several_one_is_at_work_and_the_others_take_over(
    store: EventStore, mongo: Any, documents: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "eventlab")
    first, second = threading.Event(), threading.Event()
    projectors = [Projector(store, mongo, AccountView(store.category)) for _ in range(2)]
    threads = [
        threading.Thread(target=projector.run, args=(stop,), kwargs={"poll_interval": 0.1})
        for projector, stop in zip(projectors, (first, second), strict=True)
    ]
    for thread in threads:
        thread.start()
    for _ in range(400):  # until they have met
        fill(store, 1)
        if "standby" in caplog.text:
            break
    assert "standby" in caplog.text
    first.set()
    threads[0].join()
    fill(store, 3)
    assert wait_until(
        lambda: funds(documents) == sum(e.data.get("amount", 0) for e in store.read_all())
    )
    second.set()
    threads[1].join()
    for projector in projectors:
        projector.close()


def test_lost_events_are_noticed_although_all_before_them_was_trimmed(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 6)
    store.redis.xgroup_create(store.category, store.category, "$")
    before = store.head()
    fill(store, 3)
    projector.catch_up()
    lost = [event.position for event in store.read_all(after=before)]
    store.redis.xtrim(store.category, minid=lost[0], approximate=False)
    dropped = store.redis.xinfo_stream(store.category)
    count = dropped["entries-added"] - dropped["length"]
    store.redis.hset(
        store.keys.trimmed, mapping={"position": before, "dropped": count}
    )  # as store.trim leaves it
    store.redis.xdel(store.category, *lost)
    store.redis.hincrby(
        store.keys.trimmed, "dropped", len(lost)
    )  # a tail that never was is not counted as dropped
    fill(store, 3)
    with pytest.raises(ViewAhead):
        projector.run_once()


def test_a_redis_that_refuses_to_show_the_position_stops_no_view(
    store: EventStore, projector: Projector, documents: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, 3)
    projector.catch_up()
    store.redis.config_set("min-replicas-to-write", 1)
    try:
        projector._checkpoint.show("1-1")
    finally:
        store.redis.config_set("min-replicas-to-write", 0)
    assert "cannot show its position in Redis" in caplog.text


def test_a_session_that_another_one_has_ended_is_still_known(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    with (
        Projector(store, mongo, AccountView(store.category)) as first,
        Projector(store, mongo, AccountView(store.category)) as second,
    ):
        first.catch_up()
        second._session.end_others()
        known = {each["_id"] for each in mongo.projectors.find({"view": store.category})}
        assert known == {projector._session.get().session_id["id"] for projector in (first, second)}
        fill(store, 3)
        assert first.catch_up() == 3
    assert mongo.projectors.count_documents({"view": store.category}) == 0


def test_a_reset_waits_for_no_dead_one(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    kill_one_in_its_transaction(store.category)
    began = time.monotonic()
    projector.reset()
    assert time.monotonic() - began < 5  # without the cure it is 60
    assert projector.catch_up() == 6


def test_the_newest_event_deleted_by_hand_is_no_lost_tail(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    with Projector(store, mongo, AccountView(store.category)) as first:
        first.catch_up()
    store.redis.xdel(store.category, store.head())
    with Projector(store, mongo, AccountView(store.category)) as second:
        assert second.run_once() == 0
