"""Snapshots: they save reading, and never change what a load returns."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlab import Aggregate, Event, EventStore, InvalidEvent, Repository
from eventlab.accounts import Account
from tests.support.examples import examples
from tests.support.own_redis import redis_process
from tests.support.store import CountedReads, fill


def test_snapshot_saves_reading_and_nothing_else(store: EventStore) -> None:
    fill(store, 1000)
    Repository(store, Account, snapshot_every=100).load("a")
    store.append("a", [Event("deposit", {"amount": 7})] * 10, expected=1001)
    counted = CountedReads(store)
    assert Repository(store, Account, snapshot_every=100).load("a").funds == 1070
    assert counted.events == 11
    Repository(store, Account).drop_snapshots()
    assert Repository(store, Account, snapshot_every=100).load("a").funds == 1070
    assert counted.events == 11 + 1011


def test_snapshots_are_stored_every_n_events(store: EventStore) -> None:
    accounts = Repository(store, Account, snapshot_every=10)
    kept = []
    for _ in range(35):
        accounts.retry(
            "a", lambda account: account.deposit(1) if account.version else account.create()
        )
        kept.append(store.redis.get(store.keys.snapshot("a")))
    accounts.load("a")
    assert len({snapshot for snapshot in kept if snapshot}) == 3


def test_snapshot_is_stored_at_the_nth_event_and_again_n_events_later(store: EventStore) -> None:
    key = store.keys.snapshot("a")
    fill(store, 8)
    Repository(store, Account, snapshot_every=10).load("a")
    assert store.redis.get(key) is None
    store.append("a", [Event("deposit", {"amount": 1})], expected=9)
    Repository(store, Account, snapshot_every=10).load("a")
    kept = store.redis.get(key)
    assert kept is not None
    store.append("a", [Event("deposit", {"amount": 1})], expected=10)
    Repository(store, Account, snapshot_every=10).load("a")
    assert store.redis.get(key) == kept


def test_repository_without_snapshots_reads_none(store: EventStore) -> None:
    class Cents(Account):
        def apply(self, event: Any) -> None:
            self.funds += 100 * event.data.get("amount", 0)

    fill(store, 10)
    Repository(store, Account, snapshot_every=5).load("a")
    assert Repository(store, Cents).load("a").funds == 1000


# ----------------------------------------------------------------------- other snapshots


def test_snapshot_of_another_shape_is_ignored(store: EventStore) -> None:
    fill(store, 100)
    Repository(store, Account, snapshot_every=10).load("a")

    class Richer(Account):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.deposits = 0

        def apply(self, event: Any) -> None:
            super().apply(event)
            self.deposits += event.type == "deposit"

    # Its snapshot has another shape, so the whole log is read.
    assert Repository(store, Richer, snapshot_every=10).load("a").deposits == 100
    assert Repository(store, Account, snapshot_every=10, schema=2).load("a").funds == 100
    store.append("a", [Event("deposit", {"amount": 1})], expected=101)
    assert Repository(store, Richer, snapshot_every=10).load("a").deposits == 101


def test_snapshot_of_another_schema_number_is_ignored(store: EventStore) -> None:
    fill(store, 100)
    Repository(store, Account, snapshot_every=10).load("a")

    class InCents(Account):
        """The same fields with another meaning: only the schema number differs."""

        def apply(self, event: Any) -> None:
            self.funds += 100 * event.data.get("amount", 0)

    assert Repository(store, InCents, snapshot_every=10, schema=2).load("a").funds == 10_000
    store.append("a", [Event("deposit", {"amount": 1})], expected=101)
    counted = CountedReads(store)
    assert Repository(store, InCents, snapshot_every=10, schema=2).load("a").funds == 10_100
    assert counted.events == 2  # its own snapshot was used: one event to check it, and the new one


@settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.integers(0, 200), byte=st.integers(0, 255), cut=st.booleans())
def test_corrupted_snapshot_is_ignored(store: EventStore, place: int, byte: int, cut: bool) -> None:
    if not store.version("a"):
        fill(store, 100)
        Repository(store, Account, snapshot_every=10).load("a")
        store.redis.set(store.keys.snapshot("good"), store.redis.get(store.keys.snapshot("a")))
    good = store.redis.get(store.keys.snapshot("good"))
    place %= len(good)
    bad = good[:place] + (b"" if cut else bytes([byte]) + good[place + 1 :])
    store.redis.set(store.keys.snapshot("a"), bad)
    assert Repository(store, Account, snapshot_every=10).load("a").funds == 100


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"[1,2]", b'[1,11,"1-1",[]]', b"\xff"])
def test_snapshot_with_a_valid_checksum_but_other_content_is_ignored(
    store: EventStore, text: bytes
) -> None:
    fill(store, 10)
    store.redis.set(store.keys.snapshot("a"), zlib.crc32(text).to_bytes(4) + text)
    assert Repository(store, Account, snapshot_every=5).load("a").funds == 10


def test_snapshot_of_an_earlier_release_without_a_token_is_ignored(store: EventStore) -> None:
    fill(store, 10)
    Repository(store, Account, snapshot_every=5).load("a")
    key = store.keys.snapshot("a")
    snapshot = msgspec.json.decode(store.redis.get(key)[4:])
    old = msgspec.json.encode([*snapshot[:3], {"funds": 1_000_000}])
    store.redis.set(key, zlib.crc32(old).to_bytes(4) + old)
    assert Repository(store, Account, snapshot_every=5).load("a").funds == 10


@pytest.mark.parametrize("count", [10, 20])
def test_snapshot_of_a_log_with_the_same_positions_is_ignored(
    redis_client: redis.Redis, category: str, count: int
) -> None:
    store = EventStore(redis_client, category, clock=lambda: 5000)
    fill(store, 10)
    known = Repository(store, Account, snapshot_every=11).load("a")
    snapshot = store.redis.get(store.keys.snapshot("a"))
    assert snapshot
    store.drop()
    fill(store, count, amount=7)
    store.redis.set(store.keys.snapshot("a"), snapshot)  # as if restored from a backup
    assert store.read("a")[10].position == known.position
    assert Repository(store, Account, snapshot_every=11).load("a").funds == 7 * count


# --------------------------------------------------------------------- states beyond JSON


def test_snapshot_rejects_a_state_that_json_cannot_represent(store: EventStore) -> None:
    class Odd(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.seen: set[int] = set()

        def apply(self, event: Any) -> None:
            self.seen.add(event.data["amount"])

    store.append("a", [Event("deposit", {"amount": 1})] * 3, expected=0)
    assert Repository(store, Odd).load("a").seen == {1}
    with pytest.raises(InvalidEvent, match="snapshot"):
        Repository(store, Odd, snapshot_every=2).load("a")


def test_snapshot_rejects_a_state_that_json_would_change(store: EventStore) -> None:
    class Types(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.types: Counter[str] = Counter()

        def apply(self, event: Any) -> None:
            self.types[event.type] += 1

    store.append("a", [Event("x")], expected=0)
    with pytest.raises(InvalidEvent, match="snapshot"):
        Repository(store, Types, snapshot_every=1).load("a")


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_load_needs_no_redis_that_accepts_writes(tmp_path: Path, trouble: str) -> None:
    with redis_process(tmp_path) as port, redis.Redis("127.0.0.1", port) as client:
        store = EventStore(client, "accountStream")
        fill(store, 20)
        if trouble == "full":
            client.config_set("maxmemory", "1")
        else:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
        for _ in range(2):
            assert Repository(store, Account, snapshot_every=10).load("a").funds == 20
        assert not client.exists(store.keys.snapshot("a"))
