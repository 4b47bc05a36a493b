"""A view in MongoDB counts each event exactly once, whatever dies, repeats or overtakes."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from eventlab import (
    CorruptEvent,
    Event,
    EventStore,
    Recorded,
    TrimRefused,
    ViewAhead,
    ViewStopped,
)
from eventlab.accounts import AccountView
from eventlab.projections import follower
from eventlab.projections.projector import Projector
from eventlab.projections.view import Changes
from eventlab.servers import connect
from tests.projections.support import fill, funds
from tests.support.killed_process import killed_at
from tests.support.processes import forked
from tests.support.waiting import wait_until


def test_batches_add_up(store: EventStore, projector: Projector, documents: Any) -> None:
    store.append("a", [Event("create")], expected=0)
    projector.run_once()
    store.append("a", [Event("deposit", {"amount": n}) for n in range(150)], expected=1)
    assert projector.catch_up() == 150
    assert projector.run_once() == 0
    [document] = documents.find()
    assert (document["funds"], document["version"]) == (sum(range(150)), 151)
    assert document["timestamps"] == [event.position for event in store.read("a", after=51)]


def test_second_projector_counts_nothing_twice(
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


def test_position_is_shown_as_a_group_so_trim_waits(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 4)
    projector.run_once()
    position = store.head()
    [group] = store.redis.xinfo_groups(store.category)
    assert (group["name"].decode(), group["last-delivered-id"].decode()) == (
        f"view {store.category}",
        position,
    )
    fill(store, 4)
    with pytest.raises(TrimRefused):
        store.trim(before=store.head())
    projector.run_once()
    assert store.trim(before=store.head()) > 0
    fill(store, 2)
    assert projector.run_once() == 2


def test_follower_stops_at_an_event_it_cannot_apply_and_resumes_after_the_fix(
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

    def fixed(event: Recorded, changes: Changes) -> None:
        if event.type == "bonus":
            changes[event.id].inc("funds", event.data["amount"])
        else:
            plain(event, changes)

    projector.view.apply = fixed  # type: ignore[method-assign]
    projector.catch_up()
    assert funds(documents) == 17


def test_half_done_changes_of_a_failing_view_are_not_written(
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


def test_view_ahead_of_its_log_is_noticed(
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
def test_each_event_counts_once_when_killed_between_any_two_steps(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    total = 0
    kills = 0
    for step in itertools.count(1):
        fill(store, 6)
        total += 6
        if not killed_at(step, _project, store.category):
            break
        kills += 1
        if kills % 5 == 0:  # let some attempts through, so that each step occurs at new positions
            _project(store.category)
            assert funds(documents) == total
    _project(store.category)
    assert kills > 20
    assert funds(documents) == total
    assert {d["_id"]: d["version"] for d in documents.find()} == {
        id: store.version(id) for id in store.ids()
    }


def _follow(category: str) -> None:
    with connect() as lab:
        projector = Projector(
            EventStore(lab.redis, category), lab.mongo, AccountView(category), batch_size=50
        )
        projector.catch_up()


def test_three_projectors_at_once_count_each_event_once(store: EventStore, documents: Any) -> None:
    fill(store, 600)
    processes = [forked(_follow, store.category) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert funds(documents) == 600


def test_running_projector_counts_nothing_on_top_of_lost_events(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 6)
    projector.catch_up()
    store.redis.xdel(store.category, store.head())  # what a crash at everysec does to the tail
    fill(store, 1)
    with pytest.raises(ViewAhead):
        projector.run_once()


def test_stale_position_is_read_again_when_its_events_were_trimmed(
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


def test_catch_up_ends_when_the_newest_event_was_deleted_by_hand(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 3)
    projector.catch_up()
    fill(store, 1)
    store.redis.xdel(store.category, store.head())
    assert projector.catch_up() == 0


def test_events_before_a_corrupt_entry_are_applied(
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


def test_slow_batch_is_followed_by_smaller_ones_until_they_are_fast(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 600)
    with Projector(store, mongo, AccountView(store.category), batch_size=100) as projector:
        monkeypatch.setattr(follower, "SLOW_SECONDS", 0.0)
        sizes = [projector.run_once() for _ in range(3)]
        assert sizes == [100, 1, 1]
        monkeypatch.setattr(follower, "SLOW_SECONDS", 600.0)
        assert [projector.run_once() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 64, 100, 100]


def test_one_of_several_projectors_is_active_and_the_others_take_over(
    store: EventStore, mongo: Any, documents: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "eventlab")
    first = threading.Event()
    second = threading.Event()
    projectors = [Projector(store, mongo, AccountView(store.category)) for _ in range(2)]
    threads = [
        threading.Thread(target=projector.run, args=(stop,), kwargs={"poll_interval": 0.1})
        for projector, stop in zip(projectors, (first, second), strict=True)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: fill(store, 1) or "standby" in caplog.text)  # until they have met
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


def test_lost_events_are_noticed_although_all_before_them_were_trimmed(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 6)
    store.redis.xgroup_create(store.category, f"view {store.category}", "$")
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
    )  # a tail that never existed is not counted as dropped
    fill(store, 3)
    with pytest.raises(ViewAhead):
        projector.run_once()


def test_redis_that_cannot_show_the_position_stops_no_view(
    store: EventStore, projector: Projector, documents: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, 3)
    projector.catch_up()
    store.redis.config_set("min-replicas-to-write", 1)
    try:
        projector._checkpoint.show("1-1")
    finally:
        store.redis.config_set("min-replicas-to-write", 0)
    assert "cannot publish its position to Redis" in caplog.text


def test_newest_event_deleted_by_hand_is_not_a_lost_tail(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    with Projector(store, mongo, AccountView(store.category)) as first:
        first.catch_up()
    store.redis.xdel(store.category, store.head())
    with Projector(store, mongo, AccountView(store.category)) as second:
        assert second.run_once() == 0
