"""A view is built anew while it is read: exact, whoever dies on the way, and no event is missed at the swap."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
import redis
from pymongo.collection import Collection
from pymongo.database import Database

from eventlab import (
    Changes,
    Event,
    EventStore,
    Projector,
    RebuildOvertaken,
    Recorded,
    Trimmed,
    TrimRefused,
    ViewStopped,
)
from eventlab.accounts import AccountView, EventsByType, MoneyPerDay
from eventlab.projections import checkpoint
from eventlab.projections.checkpoint import Checkpoint, RebuildCheckpoint
from eventlab.projections.rebuild import Rebuild
from eventlab.projections.session import ProjectorSession
from eventlab.servers import connect
from tests.projections.test_projector import fill
from tests.support.killed_process import killed_at


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


@pytest.fixture
def projector(store: EventStore, mongo: Database[dict[str, Any]], category: str) -> Any:
    with Projector(store, mongo, AccountView(category)) as projector:
        yield projector
    mongo.projections.delete_many({"_id": {"$regex": category}})


def funds(mongo: Any, name: str) -> int:
    return sum(document["funds"] for document in mongo[name].find())


def left_over(mongo: Any, store: EventStore) -> list[str]:
    groups = [group["name"].decode() for group in store.redis.xinfo_groups(store.category)]
    states = [state["_id"] for state in mongo.projections.find({"_id": {"$regex": store.category}})]
    return [
        name for name in [*mongo.list_collection_names(), *groups, *states] if ".rebuild-" in name
    ]


def test_it_is_what_a_catch_up_from_the_start_makes(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 30)
    projector.catch_up()
    before = list(mongo[store.category].find().sort("_id"))
    mongo[store.category].update_many(
        {}, {"$inc": {"funds": 7}}
    )  # what a mended fault of a view left behind
    mongo[store.category].create_index("funds", name="by funds")
    assert projector.rebuild(progress=False) == 33
    assert list(mongo[store.category].find().sort("_id")) == before
    assert mongo[store.category].index_information().keys() == {"_id_", "by funds"}
    fill(store, 6)
    assert projector.catch_up() == 6
    assert funds(mongo, store.category) == 36
    assert left_over(mongo, store) == []


def test_of_nothing_comes_nothing(store: EventStore, projector: Projector, mongo: Any) -> None:
    assert projector.rebuild(progress=False) == 0
    fill(store, 3)
    projector.catch_up()
    assert funds(mongo, store.category) == 3


@pytest.mark.parametrize("view", [AccountView, MoneyPerDay, EventsByType])
@pytest.mark.parametrize("how", ["trimmed", "trimmed by another program", "with a hole"])
def test_it_is_complete_after_a_trim(store: EventStore, mongo: Any, view: Any, how: str) -> None:
    with Projector(store, mongo, view(store.category), batch_size=7) as projector:
        fill(store, 40)
        projector.catch_up()
        before = list(mongo[store.category].find().sort("_id"))
        half = [event.position for event in store.read_all()][20]
        if how == "trimmed":
            assert store.trim(before=half) == 20
        elif how == "with a hole":
            store.redis.xdel(store.category, half)
        else:
            store.redis.xtrim(store.category, minid=half, approximate=False)
        assert projector.rebuild(progress=False) == 43
        assert list(mongo[store.category].find().sort("_id")) == before
        fill(store, 6)
        assert projector.catch_up() == 6


def test_no_trim_passes_a_rebuild_on_its_way(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 12)
    projector.catch_up()
    plain, refused = Rebuild.run_once, list[Exception]()

    def trim_first(rebuild: Rebuild) -> int:
        try:
            store.trim(before=store.head())
        except TrimRefused as error:
            refused.append(error)
        return plain(rebuild)

    monkeypatch.setattr(Rebuild, "run_once", trim_first)
    projector.rebuild(progress=False)
    assert "rebuild" in str(refused[0])
    assert funds(mongo, store.category) == 12


def test_what_is_appended_and_projected_meanwhile_is_in(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    with Projector(store, mongo, AccountView(store.category)) as other:
        other.catch_up()
        plain = Rebuild._swap

        def append_first(rebuild: Rebuild) -> bool:
            fill(store, 3)
            other.catch_up()
            fill(store, 3)
            return plain(rebuild)

        monkeypatch.setattr(Rebuild, "_swap", append_first)
        projector.rebuild(progress=False)
        assert funds(mongo, store.category) == 12
        assert other.catch_up() == 0  # its position is of the old documents: it looks anew
        fill(store, 3)
        assert other.catch_up() == 3
    assert funds(mongo, store.category) == 15


def test_while_it_is_fenced_off_a_projector_changes_nothing(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    projector.catch_up()
    plain = Checkpoint.decide_swap
    with Projector(store, mongo, AccountView(store.category)) as other:
        other.catch_up()

        def first_another_one(live: Checkpoint, rebuild: str, position: str) -> bool:
            fill(store, 3)
            assert other.run_once() == 0
            assert funds(mongo, store.category) == 6
            return plain(live, rebuild, position)

        monkeypatch.setattr(Checkpoint, "decide_swap", first_another_one)
        projector.rebuild(progress=False)
        assert funds(mongo, store.category) == 6
        assert other.catch_up() == 3
    assert funds(mongo, store.category) == 9


def test_a_fence_that_was_broken_is_put_up_again(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.0)
    fill(store, 6)
    projector.catch_up()
    plain, tries = Checkpoint.decide_swap, itertools.count()
    with Projector(store, mongo, AccountView(store.category)) as other:

        def too_slow_at_first(live: Checkpoint, rebuild: str, position: str) -> bool:
            if next(tries) == 0:
                fill(store, 3)
                assert other.catch_up() == 3
            return plain(live, rebuild, position)

        monkeypatch.setattr(Checkpoint, "decide_swap", too_slow_at_first)
        projector.rebuild(progress=False)
        assert next(tries) == 2
        assert funds(mongo, store.category) == 9
        assert other.catch_up() == 0


def test_the_later_one_counts(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    projector.catch_up()
    plain, once = Rebuild._swap, threading.Event()

    def another_begins(rebuild: Rebuild) -> bool:
        if not once.is_set():
            once.set()
            with Projector(store, mongo, AccountView(store.category)) as other:
                other.rebuild(progress=False)
        return plain(rebuild)

    monkeypatch.setattr(Rebuild, "_swap", another_begins)
    with pytest.raises(RebuildOvertaken):
        projector.rebuild(progress=False)
    assert funds(mongo, store.category) == 6
    assert left_over(mongo, store) == []
    fill(store, 3)
    assert projector.catch_up() == 3


def test_what_it_cannot_apply_leaves_the_live_view_as_it_was(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 6)
    projector.catch_up()

    class Changed(AccountView):
        def apply(self, event: Recorded, changes: Changes) -> None:
            if event.version == 2:
                raise KeyError("currency")
            super().apply(event, changes)

    with (
        Projector(store, mongo, Changed(store.category)) as changed,
        pytest.raises(ViewStopped, match="currency"),
    ):
        changed.rebuild(progress=False)
    assert funds(mongo, store.category) == 6
    assert left_over(mongo, store) == []
    fill(store, 3)
    assert projector.catch_up() == 3


def test_events_that_no_log_holds_any_more_are_not_passed_over(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 6)
    projector.catch_up()
    store.redis.xtrim(store.category, maxlen=2, approximate=False)
    for id in store.ids():
        store.redis.delete(store.keys.log(id))
    with pytest.raises(Trimmed):
        projector.rebuild(progress=False)
    assert funds(mongo, store.category) == 6


def _rebuild(category: str) -> None:
    checkpoint.FENCE_SECONDS = 0.05
    with (
        connect() as lab,
        Projector(EventStore(lab.redis, category), lab.mongo, AccountView(category)) as projector,
    ):
        projector.rebuild(progress=False)


@pytest.mark.crash
def test_killed_between_any_two_steps_the_view_is_whole(
    store: EventStore, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.05)
    total = 0
    with Projector(store, mongo, AccountView(store.category)) as projector:
        for step in itertools.count(1, 2):  # in front of a command is behind the one before
            fill(store, 3)
            total += 3
            if step % 3:
                projector.catch_up()
            if not killed_at(step, _rebuild, store.category):
                break
            projector.position = None  # a new one, as after a crash
            projector.catch_up()
            assert funds(mongo, store.category) == total
            assert {d["_id"]: d["version"] for d in mongo[store.category].find()} == {
                id: store.version(id) for id in store.ids()
            }
    assert step > 60
    assert funds(mongo, store.category) == total
    assert left_over(mongo, store) == []


# ------------------------------------------------------------------------------ faults that were found, and mended


def test_only_what_a_rebuild_left_behind_is_cleared_away(
    store: EventStore, projector: Projector, mongo: Any, category: str
) -> None:
    others = [f"{category}_rebuild-notes", f"{category}-rebuild-plan", f"{category}.rebuild-backup"]
    for name in others:
        mongo[name].insert_one({"_id": 1})
    fill(store, 3)
    projector.rebuild(progress=False)
    assert [mongo[name].count_documents({}) for name in others] == [1, 1, 1]


@pytest.mark.parametrize("whose", ["its own", "a dead one's"])
def test_a_fence_in_its_way_does_not_hold_it_up_for_ever(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.2)
    fill(store, 3)
    projector.catch_up()
    plain, tries = Checkpoint.decide_swap, itertools.count()

    def failing_at_first(live: Checkpoint, rebuild: str, position: str) -> bool:
        return next(tries) > 0 and plain(live, rebuild, position)

    if whose == "its own":
        monkeypatch.setattr(Checkpoint, "decide_swap", failing_at_first)
    else:
        mongo.projections.update_one(
            {"_id": store.category}, {"$set": {"fence": f"{store.category}.rebuild-00000000"}}
        )
    assert projector.rebuild(progress=False) == 6
    assert projector.catch_up() == 0


def test_a_dead_fence_does_not_hold_up_a_skip_for_ever(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.2)
    fill(store, 3)
    projector.catch_up()
    bad = store.append("account-0", [Event("bonus")], expected=2)[0]
    mongo.projections.update_one(
        {"_id": store.category}, {"$set": {"fence": f"{store.category}.rebuild-00000000"}}
    )
    projector.skip(bad.position)
    assert projector.catch_up() == 0


def test_a_batch_that_failed_is_read_from_the_own_logs_again(
    store: EventStore, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Projector(store, mongo, AccountView(store.category), batch_size=7) as projector:
        fill(store, 40)
        projector.catch_up()
        store.redis.xdel(store.category, [event.position for event in store.read_all()][20])
        plain = ProjectorSession.transact
        calls = itertools.count()

        def blocked_once(session: ProjectorSession, *args: Any, **options: Any) -> bool | None:
            return None if next(calls) == 1 else plain(session, *args, **options)

        monkeypatch.setattr(ProjectorSession, "transact", blocked_once)
        projector.rebuild(progress=False)
        assert funds(mongo, store.category) == 40


def test_the_position_is_shown_after_the_swap(store: EventStore, projector: Projector) -> None:
    fill(store, 3)
    projector.rebuild(progress=False)
    fill(store, 3)
    with pytest.raises(TrimRefused, match=store.category):
        store.trim(before=store.head())
    assert projector.catch_up() == 3
    assert store.trim(before=store.head()) > 0


def test_a_rebuild_that_was_cleared_away_makes_no_group_again(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    projector.catch_up()
    plain, once = RebuildCheckpoint.show, itertools.count()

    def another_first(rebuild: RebuildCheckpoint, position: str) -> None:
        if next(once) == 0:
            with Projector(store, mongo, AccountView(store.category)) as other:
                other.rebuild(progress=False)
            plain(rebuild, position)
            assert (
                left_over(mongo, store) == []
            )  # if it is killed here, nobody else knows of the group
        else:
            plain(rebuild, position)

    monkeypatch.setattr(RebuildCheckpoint, "show", another_first)
    with pytest.raises(RebuildOvertaken):
        projector.rebuild(progress=False)
    assert left_over(mongo, store) == []


def test_one_that_was_overtaken_at_its_indexes_takes_none_away(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    projector.catch_up()
    mongo[store.category].create_index("funds", name="by funds")
    plain, once = Collection.create_index, itertools.count()

    def another_first(collection: Any, *args: Any, **options: Any) -> Any:
        if next(once) == 0:
            with Projector(store, mongo, AccountView(store.category)) as other:
                other.rebuild(progress=False)
        return plain(collection, *args, **options)

    monkeypatch.setattr(Collection, "create_index", another_first)
    with pytest.raises(RebuildOvertaken):
        projector.rebuild(progress=False)
    assert mongo[store.category].index_information().keys() == {"_id_", "by funds"}
    assert funds(mongo, store.category) == 6
