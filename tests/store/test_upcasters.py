"""Upcasters: wherever events are read, they have the newest shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from pymongo.database import Database

from eventlab import Event, EventStore, Projector, Recorded, Repository, Subscription
from eventlab.accounts import Account, AccountService, AccountView, Balance

GOLDEN = Path(__file__).resolve().parents[2] / "notebooks" / "golden"
TODAY = {"opened": "create", "deposited": "deposit", "withdrawn": "withdraw"}
SHAPES = [
    ("create", {}),
    ("deposit", {"amount": 115}),
    ("deposit", {"amount": 2000}),
    ("withdraw", {"amount": 29}),
    ("deposit", {"amount": 500}),
    ("withdraw", {"amount": 86}),
]
FUNDS = [0, 115, 2115, 2086, 2586, 2500]


def cents(event: Recorded) -> Recorded:
    """Convert version 1 to version 2: the sum to an amount in cents."""
    if "sum" not in event.data:
        return event
    return msgspec.structs.replace(event, data={"amount": int(Decimal(event.data["sum"]) * 100)})


def names(event: Recorded) -> Recorded:
    """Convert version 2 to the newest: rename the types. It needs the amount of the first step."""
    assert event.type == "opened" or event.type not in TODAY or "amount" in event.data
    return msgspec.structs.replace(event, type=TODAY.get(event.type, event.type))


@pytest.fixture
def plain(redis_client: redis.Redis, category: str) -> EventStore:
    """The store of a category that two earlier programs wrote, without an upcaster."""
    for name in ("accounts_v1.jsonl", "accounts_v2.jsonl"):
        for line in (GOLDEN / name).read_text("utf-8").splitlines():
            position, event = json.loads(line)
            redis_client.xadd(category, {"event": json.dumps(event)}, id=position)
    store = EventStore(redis_client, category)
    assert store.adopt() == 6
    return store


@pytest.fixture
def store(plain: EventStore) -> EventStore:
    return EventStore(plain.redis, plain.category, upcasters=[cents, names])


@pytest.fixture
def projector(store: EventStore, mongo: Database[dict[str, Any]]) -> Iterator[Projector]:
    with Projector(store, mongo, AccountView(store.category), batch_size=4) as projector:
        yield projector
    mongo.projections.delete_many({"_id": {"$regex": store.category}})


def shapes(events: Any) -> list[tuple[str, Any]]:
    return [(event.type, event.data) for event in events]


def test_upcasters_apply_to_every_way_of_reading(store: EventStore) -> None:
    assert shapes(store.read("OldTimer")) == shapes(store.read_all()) == SHAPES
    assert shapes(store.read("OldTimer", reverse=True)) == SHAPES[::-1]
    assert shapes(store.read("OldTimer", after=2, limit=2)) == SHAPES[2:4]
    assert shapes(store.read_all(after=store.read("OldTimer")[1].position, limit=2)) == SHAPES[2:4]
    assert store.read("OldTimer") == list(store.read_all())


def test_upcasters_rewrite_nothing(plain: EventStore, store: EventStore) -> None:
    before = plain.read("OldTimer")
    assert shapes(before)[1] == ("deposited", {"sum": "1.15"})
    AccountService(store, snapshot_every=2).deposit("OldTimer", 1)
    assert plain.read("OldTimer", limit=6) == before


def test_upcasters_apply_to_the_result_of_a_repeat(plain: EventStore, store: EventStore) -> None:
    old = [Event("deposited", {"sum": "0.05"})]  # the old program's last event
    plain.append("OldTimer", old, expected=6, token="t", idempotency_key="key")
    assert shapes(store.append("OldTimer", old, expected=6, token="t")) == [
        ("deposit", {"amount": 5})
    ]
    assert shapes(store.append("OldTimer", old, expected=6, idempotency_key="key")) == [
        ("deposit", {"amount": 5})
    ]
    assert shapes(store.seen("OldTimer", "key") or []) == [("deposit", {"amount": 5})]


def test_upcasters_apply_to_versions_times_cache_and_snapshot(store: EventStore) -> None:
    accounts = Repository(store, Account)
    assert [accounts.load("OldTimer", version=version).funds for version in range(1, 7)] == FUNDS
    assert accounts.load("OldTimer", at=datetime(2017, 6, 1, tzinfo=UTC)).funds == 2086
    Repository(store, Account, snapshot_every=1).load("OldTimer")
    assert accounts.load("OldTimer").funds == 2500
    # An old program is still running: its event is behind the cache and the snapshot.
    old = EventStore(store.redis, store.category)
    old.append("OldTimer", [Event("deposited", {"sum": "0.05"})], expected=6)
    assert Repository(store, Account, snapshot_every=1).load("OldTimer").funds == 2505
    assert accounts.load("OldTimer").funds == 2505
    last = store.read("OldTimer")[-1]
    assert AccountService(store).fetch("OldTimer") == Balance("OldTimer", 7, last.position, 2505)


def test_upcasters_apply_to_a_view_and_its_rebuild_from_stream_and_logs(
    store: EventStore, projector: Projector, mongo: Database[dict[str, Any]]
) -> None:
    assert projector.catch_up() == 6
    assert [
        (document["funds"], document["version"]) for document in mongo[store.category].find()
    ] == [(2500, 6)]
    assert projector.rebuild(progress=False) == 6
    assert mongo[store.category].find_one("OldTimer")["funds"] == 2500  # type: ignore[index]
    store.redis.xtrim(store.category, maxlen=1, approximate=False)
    assert projector.rebuild(progress=False) == 6
    assert mongo[store.category].find_one("OldTimer")["funds"] == 2500  # type: ignore[index]


def test_upcasters_apply_to_a_subscription_and_its_parked_events(store: EventStore) -> None:
    letters = Subscription(store, "letters", consumer="letters-1", max_failures=1)
    events = letters.receive(10)
    assert shapes(events) == SHAPES
    letters.ack(events[1:])
    letters.fail(events[0], "no such street")
    assert shapes(parked.event for parked in letters.parked()) == SHAPES[:1]


def test_upcasters_run_in_order(plain: EventStore) -> None:
    with pytest.raises(AssertionError):
        EventStore(plain.redis, plain.category, upcasters=[names, cents]).read("OldTimer")
