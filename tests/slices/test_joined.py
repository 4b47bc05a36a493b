"""A view of two categories, of which one has slices: exact in each slice, in one checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from eventlab import (
    Changes,
    CheckpointMissing,
    Event,
    EventStore,
    InvalidArgument,
    JoinedProjector,
    Recorded,
    SlicesMismatch,
    TrimRefused,
    ViewLate,
    ViewStopped,
)
from tests.support.waiting import wait_until

IDS = [f"c{number}" for number in range(20)]


class Customers:
    """One document per customer: how many events each category has of it."""

    def __init__(self, name: str, version: int = 1) -> None:
        self.name = name
        self.version = version

    def apply(self, event: Recorded, changes: Changes, category: str) -> None:
        if event.type == "bad":
            raise ValueError("no customer has such an event")
        changes[event.id].inc(category.rpartition("-")[2], 1)
        changes[event.id].set("made_by", self.version)


@pytest.fixture
def accounts(redis_client: redis.Redis, category: str) -> Iterator[EventStore]:
    store = EventStore(redis_client, f"{category}-accounts", slices=64)
    yield store
    store.drop()


@pytest.fixture
def mails(redis_client: redis.Redis, category: str) -> Iterator[EventStore]:
    store = EventStore(redis_client, f"{category}-mails")
    yield store
    store.drop()


@pytest.fixture
def documents(mongo: Any, category: str) -> Iterator[Any]:
    yield mongo[category]
    mongo.projections.delete_many({"_id": {"$regex": category}})


@pytest.fixture
def joined(
    accounts: EventStore, mails: EventStore, mongo: Any, category: str, documents: Any
) -> Iterator[JoinedProjector]:
    for store in (accounts, mails):
        add(store)
    with JoinedProjector([mails, accounts], mongo, Customers(category)) as joined:
        yield joined


def add(store: EventStore, *ids: str) -> None:
    """Append an event to each of these customers, or to all."""
    for id in ids or IDS:
        store.append(id, [Event("added")], expected=store.version(id))


def expected(accounts: EventStore, mails: EventStore, version: int = 1) -> list[dict[str, Any]]:
    return [
        {"_id": id, "accounts": accounts.version(id), "mails": mails.version(id)}
        | {"made_by": version}
        for id in sorted(IDS)
    ]


def shown(documents: Any) -> list[dict[str, Any]]:
    return list(documents.find().sort("_id"))


def test_joined_view_over_slices_counts_each_event_once(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any, documents: Any
) -> None:
    assert joined.catch_up() == 40
    add(accounts, "c0", "c7")
    with JoinedProjector([accounts, mails], mongo, Customers(joined.name)) as other:
        assert other.catch_up() == 2
    add(accounts, "c7")
    assert joined.catch_up() == 1
    assert joined.catch_up() == 0
    assert shown(documents) == expected(accounts, mails)
    [state] = mongo.projections.find({"_id": {"$regex": joined.name}})
    assert len(state["parts"]) == 65
    assert state["categories"] == [accounts.category, mails.category]


def test_joined_view_over_slices_reports_and_awaits_a_category(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector
) -> None:
    joined.catch_up()
    add(accounts, "c0", "c0", "c1")
    lag = joined.lag()
    assert {category: each.events for category, each in lag.items()} == {
        accounts.category: 3,
        mails.category: 0,
    }
    joined.wait_until(accounts.category, "c3", 1, seconds=0.0)
    with pytest.raises(ViewLate):
        joined.wait_until(accounts.category, "c0", 2, seconds=0.0)
    slice = accounts.slice_of("c0")
    with pytest.raises(TrimRefused, match=joined.name):
        slice.trim(before=slice.head())


def test_joined_view_over_slices_skips_the_event_of_the_slice_that_stops(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, documents: Any
) -> None:
    joined.catch_up()
    bad = accounts.append("c0", [Event("bad"), Event("added")], expected=1)[0]
    add(accounts, "c1")
    with pytest.raises(ViewStopped, match=bad.position):
        joined.catch_up()
    with pytest.raises(InvalidArgument, match="resumes at"):
        joined.skip(accounts.category, "1-1")
    joined.skip(accounts.category, bad.position)
    joined.catch_up()
    assert documents.find_one({"_id": "c0"})["accounts"] == 2
    assert documents.find_one({"_id": "c1"})["accounts"] == 2


def test_joined_view_over_slices_is_rebuilt_reset_and_upgraded(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any, documents: Any
) -> None:
    joined.catch_up()
    accounts.slice_of("c0").trim(before=accounts.slice_of("c0").head())
    documents.update_many({}, {"$inc": {"accounts": 70}})
    assert joined.rebuild(progress=False) == 40
    assert shown(documents) == expected(accounts, mails)
    add(accounts, "c5")
    newer = JoinedProjector([accounts, mails], mongo, Customers(joined.name, version=2))
    with newer:
        newer.catch_up()
    assert shown(documents) == expected(accounts, mails, version=2)
    newer.reset()
    assert shown(documents) == []
    assert mails.redis.xinfo_groups(mails.keys.stream) == []
    assert mails.redis.xinfo_groups(accounts.slice_of("c0").keys.stream) == []


def test_joined_view_over_slices_runs(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, documents: Any
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=joined.run, args=(stop,))
    thread.start()
    try:
        for store in (accounts, mails):
            add(store)
            wait_until(lambda: shown(documents) == expected(accounts, mails))
    finally:
        stop.set()
        thread.join()


def test_joined_view_names_a_wrong_number_of_slices(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any
) -> None:
    joined.catch_up()
    one = EventStore(mails.redis, accounts.category)
    with pytest.raises(SlicesMismatch):
        JoinedProjector([one, mails], mongo, Customers(joined.name))
    # The category was dropped, and made again with one slice.
    accounts.drop()
    one.append("c0", [Event("added")], expected=0)
    with (
        JoinedProjector([one, mails], mongo, Customers(joined.name)) as other,
        pytest.raises(CheckpointMissing),
    ):
        other.run_once()
    one.drop()
