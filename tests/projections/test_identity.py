"""A checkpoint knows which event, category and version of the view's code it belongs to."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from eventlab import (
    CategoryMismatch,
    CheckpointMissing,
    Event,
    EventStore,
    InvalidArgument,
    Projector,
    ViewAhead,
    ViewVersionMismatch,
)
from eventlab.accounts import AccountView, EventsByType
from eventlab.projections.rebuild import Rebuild
from tests.projections.support import fill, funds


@pytest.fixture
def frozen(redis_client: redis.Redis, category: str) -> EventStore:
    """A store whose clock stands still: a log that is written again has the same positions."""
    return EventStore(redis_client, category, clock=lambda: 1551312621884)


def deposit(store: EventStore, *amounts: int, id: str = "a") -> None:
    events = [Event("deposit", {"amount": amount}) for amount in amounts]
    store.append(id, [Event("create"), *events], expected=0)


@pytest.mark.parametrize("again", ["by the same projector", "by another one"])
@pytest.mark.parametrize("amounts", [(10, 7), (5, 5), (1, 2, 3)], ids=str)
def test_log_that_was_written_again_at_the_same_positions_is_noticed(
    frozen: EventStore, mongo: Any, documents: Any, again: str, amounts: tuple[int, ...]
) -> None:
    with Projector(frozen, mongo, AccountView(frozen.category)) as projector:
        deposit(frozen, 5, 5)
        projector.catch_up()
        frozen.drop()
        deposit(frozen, *amounts)
        if again == "by another one":
            projector.position = None
        with pytest.raises(ViewAhead, match="not in the stream"):
            projector.run_once()
        assert funds(documents) == 10
        projector.rebuild(progress=False)
        assert funds(documents) == sum(amounts)
        assert projector.catch_up() == 0


def test_position_given_to_the_event_of_another_aggregate_is_noticed(
    frozen: EventStore, mongo: Any, documents: Any
) -> None:
    """This happens after a failover that lost the latest events, if the replica's clock is slow."""
    with Projector(frozen, mongo, AccountView(frozen.category)) as projector:
        deposit(frozen, 5)
        projector.catch_up()
        frozen.drop()
        deposit(frozen, 5, id="b")
        deposit(frozen, 5)
        with pytest.raises(ViewAhead):
            projector.run_once()
    assert funds(documents) == 5


def test_position_given_to_another_event_is_noticed_in_logs_without_tokens(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    """The events of a stream that was adopted have no token."""
    for ids in (("a", "b"), ("b", "a")):
        store.drop()
        for number, id in enumerate(ids, 1):
            event = json.dumps({"id": id, "version": 1, "type": "create"})
            store.redis.xadd(store.keys.stream, {"event": event}, id=f"5-{number}")
        assert store.adopt() == 2
        if ids[0] == "a":
            assert projector.catch_up() == 2
    with pytest.raises(ViewAhead):
        projector.run_once()


def test_loss_is_noticed_before_there_are_new_events(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    store.drop()
    with pytest.raises(ViewAhead):
        projector.run_once()


def test_projector_follows_documents_that_were_rebuilt_from_the_new_log(
    frozen: EventStore, mongo: Any, documents: Any
) -> None:
    with (
        Projector(frozen, mongo, AccountView(frozen.category)) as first,
        Projector(frozen, mongo, AccountView(frozen.category)) as second,
    ):
        deposit(frozen, 5, 5)
        first.catch_up()
        frozen.drop()
        deposit(frozen, 10, 7)
        second.rebuild(progress=False)
        frozen.append("a", [Event("deposit", {"amount": 1})], expected=3)
        assert first.position is not None  # of the old log, and the same
        first.catch_up()
        assert first.catch_up() == 0
    assert funds(documents) == 18


def test_checkpoint_is_accepted_after_its_log_was_adopted_again(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    store.redis.delete(store.keys.ids, *map(store.keys.log, store.ids()))
    store.adopt()  # builds the logs again from the stream, which has no tokens
    store.append("account-0", [Event("deposit", {"amount": 1})], expected=2)
    assert projector.catch_up() == 1
    assert funds(documents) == 4


def test_checkpoint_of_an_earlier_release_is_accepted_and_completed(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    whole = mongo.projections.find_one({"_id": store.category})
    old = {"_id": store.category, "position": whole["position"]}
    mongo.projections.replace_one({"_id": store.category}, old)
    projector.position = None
    assert projector.run_once() == 0
    fill(store, 1)
    assert projector.run_once() == 1
    completed = mongo.projections.find_one({"_id": store.category})
    assert completed.keys() == whole.keys()
    assert completed["category"] == store.category
    assert completed["event"]["position"] == completed["position"] == store.head()


def test_event_of_an_earlier_position_is_accepted(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    fill(store, 2)
    head = store.head()  # an earlier release moves the position only
    mongo.projections.update_one({"_id": store.category}, {"$set": {"position": head}})
    fill(store, 1)
    projector.position = None
    assert projector.catch_up() == 1


# ----------------------------------------------------------------- category


@pytest.fixture
def other(redis_client: redis.Redis, category: str, lab: Any) -> Any:
    store = EventStore(redis_client, f"{category}-other")
    yield store
    store.drop()


def test_view_of_another_category_is_named_and_unchanged(
    store: EventStore, other: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    fill(other, 6)
    before = list(documents.find())
    with Projector(other, mongo, AccountView(store.category)) as foreign:
        for call in (
            foreign.run_once,
            foreign.catch_up,
            foreign.lag,
            lambda: foreign.rebuild(progress=False),
            lambda: foreign.skip(other.head()),
            lambda: foreign.wait_until("account-0", 1, seconds=0.1),
        ):
            with pytest.raises(CategoryMismatch, match=f"follows category '{store.category}'") as e:
                call()
            assert "ebuild" not in str(e.value)
    assert list(documents.find()) == before
    assert not other.redis.xinfo_groups(other.category)


def test_projector_at_work_stops_when_the_view_follows_another_category(
    store: EventStore, other: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    with Projector(other, mongo, AccountView(store.category)) as successor:
        successor.reset()
        fill(other, 1)
        successor.catch_up()
        mongo.projections.update_one(
            {"_id": store.category}, {"$set": {"position": projector.position}}
        )
    fill(store, 1)
    assert projector.run_once() == 0  # the guard of the transaction rejects it
    with pytest.raises(CategoryMismatch):
        projector.run_once()
    assert funds(documents) == 1


# ------------------------------------------------------------------ version


class NewerView(AccountView):
    version = 2


def test_older_version_of_a_view_stops_when_it_was_rebuilt_with_a_newer_one(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    with Projector(store, mongo, NewerView(store.category)) as newer:
        with pytest.raises(ViewVersionMismatch, match=r"version 1 .* version 2.*its projector"):
            newer.skip(store.head())
        newer.rebuild(progress=False)
        fill(store, 1)
        assert newer.catch_up() == 1
    projector.position = None
    with pytest.raises(ViewVersionMismatch, match=r"version 2 .* version 1"):
        projector.run_once()
    assert funds(documents) == 4


def test_older_version_at_work_writes_nothing_into_the_newer_documents(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    with Projector(store, mongo, NewerView(store.category)) as newer:
        newer.rebuild(progress=False)  # to the same position
    fill(store, 1)
    assert projector.run_once() == 0
    with pytest.raises(ViewVersionMismatch):
        projector.run_once()
    assert funds(documents) == 3


def test_rebuild_of_an_empty_category_brings_its_version(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    with Projector(store, mongo, AccountView(store.category)) as projector:
        projector.rebuild(progress=False)
    with Projector(store, mongo, NewerView(store.category)) as newer:
        newer.rebuild(progress=False)
        assert newer.run_once() == 0


def test_swap_that_another_version_finishes_keeps_the_version_of_the_rebuild(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    with Projector(store, mongo, NewerView(store.category)) as newer:
        rebuild = Rebuild(newer, batch_size=10)
        with rebuild:
            rebuild._create()
            rebuild.catch_up()
            rebuild._live.fence(rebuild.name)
            assert rebuild._live.decide_swap(rebuild.name)  # and is killed
    projector.position = None
    assert projector.run_once() == 0  # it finishes the swap
    with pytest.raises(ViewVersionMismatch):
        projector.run_once()


@pytest.mark.parametrize("version", ["2", 1.5, None, True])
def test_version_of_a_view_must_be_an_integer(store: EventStore, mongo: Any, version: Any) -> None:
    view = AccountView(store.category)
    view.version = version  # type: ignore[attr-defined]
    with pytest.raises(InvalidArgument, match="must be an integer"):
        Projector(store, mongo, view)


# ---------------------------------------------- documents without a checkpoint


def test_documents_without_a_checkpoint_are_not_counted_on_top_of(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    mongo.projections.delete_one({"_id": store.category})
    with Projector(store, mongo, AccountView(store.category)) as again:
        for call in (again.run_once, again.lag, again.catch_up):
            with pytest.raises(CheckpointMissing, match="rebuild the view"):
                call()
        assert funds(documents) == 3
        again.rebuild(progress=False)
        fill(store, 1)
        assert again.catch_up() == 1
    assert funds(documents) == 4


def test_documents_without_a_checkpoint_stay_refused_when_a_rebuild_is_killed(
    store: EventStore, projector: Projector, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    projector.catch_up()
    mongo.projections.delete_one({"_id": store.category})
    with Projector(store, mongo, AccountView(store.category)) as again:
        with Rebuild(again, batch_size=10) as rebuild:
            rebuild._create()
            rebuild.catch_up()
            rebuild._live.fence(rebuild.name)  # and is killed
        rebuild._live.remove_rebuild(rebuild.name)
        with pytest.raises(CheckpointMissing):
            again.run_once()
    assert funds(documents) == 3


def test_reset_leaves_no_checkpoint_missing(store: EventStore, mongo: Any, documents: Any) -> None:
    documents.insert_one({"_id": "of another program"})
    fill(store, 3)
    with Projector(store, mongo, EventsByType(store.category)) as projector:
        projector.reset()
        assert projector.catch_up() == 6
