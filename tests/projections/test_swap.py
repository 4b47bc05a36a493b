"""A rebuild is swapped in: the view is whole after any crash, and no event is missed."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from pymongo.collection import Collection

from eventlab import (
    Event,
    EventStore,
    Projector,
    RebuildOvertaken,
    TrimRefused,
)
from eventlab.accounts import AccountView
from eventlab.projections import checkpoint
from eventlab.projections.checkpoint import Checkpoint, RebuildCheckpoint
from eventlab.projections.rebuild import Rebuild
from eventlab.servers import connect
from tests.projections.support import fill, funds, left_over
from tests.support.killed_process import killed_at


def test_events_appended_during_a_rebuild_are_counted(
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
        assert funds(mongo[store.category]) == 12
        assert other.catch_up() == 0  # its position is of the old documents: it reads it again
        fill(store, 3)
        assert other.catch_up() == 3
    assert funds(mongo[store.category]) == 15


def test_fenced_projector_changes_nothing(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    projector.catch_up()
    plain = Checkpoint.decide_swap
    with Projector(store, mongo, AccountView(store.category)) as other:
        other.catch_up()

        def first_another_one(live: Checkpoint, rebuild: str) -> Any:
            fill(store, 3)
            assert other.run_once() == 0
            assert funds(mongo[store.category]) == 6
            return plain(live, rebuild)

        monkeypatch.setattr(Checkpoint, "decide_swap", first_another_one)
        projector.rebuild(progress=False)
        assert funds(mongo[store.category]) == 6
        assert other.catch_up() == 3
    assert funds(mongo[store.category]) == 9


def test_broken_fence_is_restored(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.0)
    fill(store, 6)
    projector.catch_up()
    plain = Checkpoint.decide_swap
    tries = itertools.count()
    with Projector(store, mongo, AccountView(store.category)) as other:

        def too_slow_at_first(live: Checkpoint, rebuild: str) -> Any:
            if next(tries) == 0:
                fill(store, 3)
                assert other.catch_up() == 3
            return plain(live, rebuild)

        monkeypatch.setattr(Checkpoint, "decide_swap", too_slow_at_first)
        projector.rebuild(progress=False)
        assert next(tries) == 2
        assert funds(mongo[store.category]) == 9
        assert other.catch_up() == 0


def test_later_rebuild_wins(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    projector.catch_up()
    plain = Rebuild._swap
    once = threading.Event()

    def another_begins(rebuild: Rebuild) -> bool:
        if not once.is_set():
            once.set()
            with Projector(store, mongo, AccountView(store.category)) as other:
                other.rebuild(progress=False)
        return plain(rebuild)

    monkeypatch.setattr(Rebuild, "_swap", another_begins)
    with pytest.raises(RebuildOvertaken):
        projector.rebuild(progress=False)
    assert funds(mongo[store.category]) == 6
    assert left_over(mongo, store) == []
    fill(store, 3)
    assert projector.catch_up() == 3


def _rebuild(category: str) -> None:
    checkpoint.FENCE_SECONDS = 0.05
    with (
        connect() as lab,
        Projector(EventStore(lab.redis, category), lab.mongo, AccountView(category)) as projector,
    ):
        projector.rebuild(progress=False)


@pytest.mark.crash
def test_view_is_whole_when_a_rebuild_is_killed_between_any_two_steps(
    store: EventStore, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.05)
    total = 0
    with Projector(store, mongo, AccountView(store.category)) as projector:
        for step in itertools.count(1, 2):  # before a command is also after the one before
            fill(store, 3)
            total += 3
            if step % 3:
                projector.catch_up()
            if not killed_at(step, _rebuild, store.category):
                break
            projector.position = None  # read it again, as after a crash
            projector.catch_up()
            assert funds(mongo[store.category]) == total
            assert {d["_id"]: d["version"] for d in mongo[store.category].find()} == {
                id: store.version(id) for id in store.ids()
            }
    assert step > 60
    assert funds(mongo[store.category]) == total
    assert left_over(mongo, store) == []


@pytest.mark.parametrize("whose", ["its own", "a dead one's"])
def test_existing_fence_does_not_block_a_rebuild_forever(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.2)
    fill(store, 3)
    projector.catch_up()
    plain = Checkpoint.decide_swap
    tries = itertools.count()

    def failing_at_first(live: Checkpoint, rebuild: str) -> Any:
        return plain(live, rebuild) if next(tries) > 0 else None

    if whose == "its own":
        monkeypatch.setattr(Checkpoint, "decide_swap", failing_at_first)
    else:
        mongo.projections.update_one(
            {"_id": store.category}, {"$set": {"fence": f"{store.category}.rebuild-00000000"}}
        )
    assert projector.rebuild(progress=False) == 6
    assert projector.catch_up() == 0


def test_abandoned_fence_does_not_block_a_skip_forever(
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


def test_position_is_shown_after_the_swap(store: EventStore, projector: Projector) -> None:
    fill(store, 3)
    projector.rebuild(progress=False)
    fill(store, 3)
    with pytest.raises(TrimRefused, match=store.category):
        store.trim(before=store.head())
    assert projector.catch_up() == 3
    assert store.trim(before=store.head()) > 0


def test_removed_rebuild_creates_no_group_again(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    projector.catch_up()
    plain = RebuildCheckpoint.show
    once = itertools.count()

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


def test_rebuild_overtaken_at_its_indexes_removes_none(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    projector.catch_up()
    mongo[store.category].create_index("funds", name="by funds")
    plain = Collection.create_index
    once = itertools.count()

    def another_first(collection: Any, *args: Any, **options: Any) -> Any:
        if next(once) == 0:
            with Projector(store, mongo, AccountView(store.category)) as other:
                other.rebuild(progress=False)
        return plain(collection, *args, **options)

    monkeypatch.setattr(Collection, "create_index", another_first)
    with pytest.raises(RebuildOvertaken):
        projector.rebuild(progress=False)
    assert mongo[store.category].index_information().keys() == {"_id_", "by funds"}
    assert funds(mongo[store.category]) == 6
