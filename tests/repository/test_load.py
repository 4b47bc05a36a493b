"""Loads: the newest state, or the state at a version or at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis

from eventlab import Event, EventStore, InvalidArgument, Repository
from eventlab.accounts import Account, AccountService
from tests.support.store import fill


def test_load_returns_each_version_and_the_state_at_each_time(
    redis_client: redis.Redis, category: str
) -> None:
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(12)]
    ticks = iter(times)
    store = EventStore(redis_client, category, clock=lambda: int(next(ticks).timestamp() * 1000))
    store.append("a", [Event("create")], expected=0)
    for n in range(1, 12):
        store.append("a", [Event("deposit", {"amount": n})], expected=n)
    accounts = Repository(store, Account, snapshot_every=4)
    accounts.load("a")
    funds = [sum(range(n + 1)) for n in range(12)]
    assert [accounts.load("a", version=n + 1).funds for n in range(12)] == funds
    assert [accounts.load("a", at=time).funds for time in times] == funds
    assert [accounts.load("a", at=time + timedelta(minutes=59)).funds for time in times] == funds
    assert accounts.load("a", at=times[0] - timedelta(milliseconds=1)).version == 0
    assert accounts.load("a", version=0).version == 0
    with pytest.raises(InvalidArgument, match="time zone"):
        accounts.load("a", at=datetime(2026, 1, 1))


def test_load_takes_a_version_and_a_time_together(redis_client: redis.Redis, category: str) -> None:
    times = iter([1000, 1000, 2000, 3000])
    store = EventStore(redis_client, category, clock=times.__next__)
    service = AccountService(store)
    service.create("a")
    for amount in (1, 2, 4):
        service.deposit("a", amount)
    at = {second: datetime.fromtimestamp(second, UTC) for second in (1, 2)}
    assert service.fetch("a", version=4, at=at[1]).funds == 1  # both events of the first second
    assert service.fetch("a", version=2, at=at[2]).funds == 1


def test_load_after_a_drop_is_at_version_0(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account, snapshot_every=5)
    assert accounts.load("a").version == 11
    store.drop()
    assert accounts.load("a").version == 0
