"""The documents of one aggregate are rebuilt from its log, exactly, while projectors run."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from eventlab import (
    Changes,
    Event,
    EventStore,
    NotPerAggregate,
    Projector,
    Recorded,
    ViewAhead,
    ViewStopped,
    ViewVersionMismatch,
)
from eventlab.accounts import AccountView, EventsByType, MoneyPerDay
from eventlab.projections import checkpoint
from eventlab.projections.single import SingleRebuild
from eventlab.servers import connect
from tests.projections.support import fill, funds
from tests.support.killed_process import killed_at
from tests.support.processes import forked


def damage(documents: Any) -> None:
    documents.update_many({}, {"$inc": {"funds": 700}, "$set": {"by a bug": True}})


def shown(documents: Any) -> dict[str, tuple[int, int]]:
    return {each["_id"]: (each["funds"], each["version"]) for each in documents.find()}


def test_documents_of_one_aggregate_are_rebuilt_and_no_others(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 6)
    projector.catch_up()
    before = list(documents.find().sort("_id"))
    damage(documents)
    assert projector.rebuild_one("account-1") == 3
    assert documents.find_one("account-1") == before[1]
    assert shown(documents)["account-0"] == (702, 3)
    fill(store, 3)
    assert projector.catch_up() == 3
    assert shown(documents)["account-1"] == (3, 4)


def test_missing_document_is_built_again(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    documents.delete_one({"_id": "account-2"})
    assert projector.rebuild_one("account-2") == 2
    assert shown(documents)["account-2"] == (1, 2)
    assert projector.rebuild_one("nobody") == 0


def test_events_after_the_position_of_the_view_are_left_to_a_projector(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    fill(store, 3)
    damage(documents)
    assert projector.rebuild_one("account-0") == 2
    assert shown(documents)["account-0"] == (1, 2)
    assert projector.catch_up() == 3
    assert shown(documents)["account-0"] == (2, 3)


def test_events_that_a_projector_counts_meanwhile_are_counted_once(
    store: EventStore,
    projector: Projector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, 3)
    projector.catch_up()
    plain = SingleRebuild._replace
    with Projector(store, mongo, AccountView(store.category)) as other:

        def other_first(single: SingleRebuild) -> bool:
            fill(store, 3)
            assert other.catch_up() == 3
            return plain(single)

        monkeypatch.setattr(SingleRebuild, "_replace", other_first)
        assert projector.rebuild_one("account-0") == 3
        fill(store, 3)
        assert other.catch_up() == 3
    assert shown(documents) == dict.fromkeys(store.ids(), (3, 4))


def test_fence_holds_a_projector_back_and_a_broken_one_is_put_up_again(
    store: EventStore,
    projector: Projector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, 3)
    projector.catch_up()
    plain = SingleRebuild._fold
    calls = itertools.count()
    with Projector(store, mongo, AccountView(store.category)) as other:
        other.catch_up()

        def other_first(single: SingleRebuild, position: str) -> None:
            plain(single, position)
            if next(calls) == 1:  # behind the fence
                fill(store, 3)
                assert other.run_once() == other.run_once() == 0
                single._checkpoint.lift(single._fence)
                assert other.run_once() == 3

        monkeypatch.setattr(SingleRebuild, "_fold", other_first)
        assert projector.rebuild_one("account-0") == 3
    assert next(calls) == 4
    assert shown(documents) == dict.fromkeys(store.ids(), (2, 3))


def test_rebuild_of_the_whole_view_meanwhile_does_not_count_twice(
    store: EventStore,
    projector: Projector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its swap moves the position back, if it was read at another time."""
    fill(store, 3)
    projector.catch_up()
    before = mongo.projections.find_one({"_id": store.category})
    kept = list(documents.find())
    fill(store, 3)
    projector.catch_up()
    plain = SingleRebuild._replace
    once = itertools.count()

    def earlier(single: SingleRebuild) -> bool:
        if next(once) == 0:
            mongo.projections.replace_one({"_id": store.category}, before)
            documents.delete_many({})
            documents.insert_many(kept)
        return plain(single)

    monkeypatch.setattr(SingleRebuild, "_replace", earlier)
    assert projector.rebuild_one("account-0") == 2
    projector.position = None
    projector.catch_up()
    assert shown(documents) == dict.fromkeys(store.ids(), (2, 3))


def test_long_log_is_folded_in_pages(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    deposits = [Event("deposit", {"amount": 1})] * 3_000
    store.append("a", [Event("create"), *deposits], expected=0)
    projector.catch_up()
    [before] = documents.find()
    damage(documents)
    assert projector.rebuild_one("a") == 3_001
    assert list(documents.find()) == [before]


@pytest.mark.parametrize("view", [MoneyPerDay, EventsByType])
def test_view_whose_documents_belong_to_several_aggregates_is_refused(
    store: EventStore, mongo: Any, documents: Any, view: Any
) -> None:
    fill(store, 3)
    with Projector(store, mongo, view(store.category)) as projector:
        projector.catch_up()
        before = list(documents.find())
        with pytest.raises(NotPerAggregate, match=f"{store.category!r} does not promise"):
            projector.rebuild_one("account-0")
        assert list(documents.find()) == before


class Letters:
    """Several documents of one aggregate, some of which it deletes again."""

    per_aggregate = True

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        letter = changes[f"{event.id}/{event.data['letter']}"]
        if event.type == "burned":
            letter.delete()
        else:
            letter.inc("times", 1)


def test_every_document_of_an_aggregate_is_replaced_even_a_deleted_one(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    events = [("sent", "a"), ("sent", "b"), ("burned", "a"), ("sent", "c"), ("burned", "c")]
    store.append("x", [Event(t, {"letter": letter}) for t, letter in events], expected=0)
    store.append("x", [Event("sent", {"letter": "c"})], expected=5)
    store.append("y", [Event("sent", {"letter": "a"})], expected=0)
    with Projector(store, mongo, Letters(store.category)) as projector:
        projector.catch_up()
        before = list(documents.find().sort("_id"))
        assert [each["_id"] for each in before] == ["x/b", "x/c", "y/a"]
        documents.insert_one({"_id": "x/a", "times": 9})
        documents.update_many({"_id": {"$regex": "^x"}}, {"$inc": {"times": 5}})
        projector.rebuild_one("x")
        assert list(documents.find().sort("_id")) == before


def test_event_that_cannot_be_applied_stops_it_and_leaves_no_fence(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    bad = store.append("account-0", [Event("bonus")], expected=2)[0]
    with pytest.raises(ViewStopped):
        projector.catch_up()
    projector.skip(bad.position)
    before = list(documents.find())
    with pytest.raises(ViewStopped, match="bonus"):
        projector.rebuild_one("account-0")
    assert list(documents.find()) == before
    fill(store, 2)
    assert projector.catch_up() == 2
    assert "fence" not in mongo.projections.find_one({"_id": store.category})


def test_document_that_mongodb_refuses_is_named_and_the_old_one_stays(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    before = list(documents.find())
    mongo.command("collMod", store.category, validator={"funds": {"$gt": 100}})
    with pytest.raises(ViewStopped, match=r"WriteError|BulkWriteError"):
        projector.rebuild_one("account-0")
    assert list(documents.find()) == before


def test_log_that_was_replaced_is_noticed(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    store.drop()
    fill(store, 6)
    with pytest.raises(ViewAhead):
        projector.rebuild_one("account-2")
    assert funds(documents) == 3


@pytest.mark.parametrize("why", ["a refused document", "a log that was replaced"])
def test_rebuild_that_fails_behind_its_fence_lifts_it(
    store: EventStore, projector: Projector, mongo: Any, why: str
) -> None:
    fill(store, 3)
    projector.catch_up()
    if why == "a refused document":
        mongo.command("collMod", store.category, validator={"funds": {"$gt": 100}})
    else:
        store.drop()
        fill(store, 6)
    with pytest.raises((ViewStopped, ViewAhead)):
        projector.rebuild_one("account-0")
    [state] = mongo.projections.find({"_id": store.category})
    assert "fence" not in state


def test_older_version_of_a_view_is_not_rebuilt_for_one_aggregate(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    newer = AccountView(store.category)
    newer.version = 2  # type: ignore[attr-defined]
    with Projector(store, mongo, newer) as other, pytest.raises(ViewVersionMismatch):
        other.rebuild_one("account-0")


# -------------------------------------------------------------------------- killed


def _rebuild_one(category: str) -> None:
    checkpoint.FENCE_SECONDS = 0.05
    with (
        connect() as lab,
        Projector(EventStore(lab.redis, category), lab.mongo, AccountView(category)) as projector,
    ):
        projector.rebuild_one("account-0")


@pytest.mark.crash
def test_documents_are_whole_when_it_is_killed_between_any_two_steps(
    store: EventStore,
    projector: Projector,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.05)
    fill(store, 3)
    projector.catch_up()
    for step in itertools.count(1, 3):  # before a command, or after it
        documents.update_one({"_id": "account-0"}, {"$inc": {"funds": 700}})
        killed = killed_at(step, _rebuild_one, store.category)
        fill(store, 3)
        projector.position = None  # read it again, as after a crash
        assert projector.catch_up() == 3
        at, version = shown(documents)["account-0"]
        assert version == store.version("account-0")
        assert at in (version - 1, version + 699)  # rebuilt, or as it was
        if not killed:
            break
        projector.rebuild_one("account-0")
        assert shown(documents)["account-0"] == (version - 1, version)
    assert step > 12
    assert at == version - 1


def _project(category: str) -> None:
    with (
        connect() as lab,
        Projector(
            EventStore(lab.redis, category), lab.mongo, AccountView(category), batch_size=10
        ) as projector,
    ):
        projector.run(threading.Event(), poll_interval=0.05)


@pytest.mark.crash
def test_documents_are_exact_while_projectors_run_and_events_arrive(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    processes = [forked(_project, store.category) for _ in range(2)]
    try:
        for process in processes:
            process.start()
        for number in range(60):
            fill(store, 6)
            id = f"account-{number % 3}"
            projector.rebuild_one(id)
            projector.wait_until(id, store.version(id), seconds=60)
            version = store.version(id)
            assert shown(documents)[id] == (version - 1, version)
    finally:
        for process in processes:
            process.kill()
            process.join()
    projector.position = None
    projector.catch_up()
    assert shown(documents) == {
        id: (store.version(id) - 1, store.version(id)) for id in store.ids()
    }
