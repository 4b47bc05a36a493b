"""Saves: all or nothing, also in the aggregate and in the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from eventlab import Aggregate, EventStore, Repository, VersionConflict
from eventlab.accounts import Account, AccountService
from eventlab.lessons import lossy
from tests.support.store import fill


def failing(error: Exception) -> Callable[..., Any]:
    def append(*_: Any, **__: Any) -> Any:
        raise error

    return append


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("cut"),
        redis.TimeoutError("late"),
        VersionConflict("a", 11, 12),
        OSError("disk"),
    ],
)
def test_failed_save_leaves_the_cache_and_the_aggregate_unchanged(
    store: EventStore, error: Exception
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    account = accounts.load("a")
    account.deposit(5)
    before = (account.funds, account.version, account.position, list(account.changes))
    plain = store.append
    store.append = failing(error)  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        accounts.save(account)
    assert (account.funds, account.version, account.position, account.changes) == before
    assert accounts.load("a").funds == 10
    store.append = plain  # type: ignore[method-assign]
    assert accounts.save(account)[0].version == 12  # the same aggregate can be saved again
    assert accounts.load("a").funds == 15


def test_save_is_no_conflict_when_its_reply_is_lost(store: EventStore, tmp_path: Path) -> None:
    fill(store, 10)
    path = store.redis.connection_pool.connection_kwargs["path"]
    with lossy(tmp_path / "p", path) as proxy, redis.Redis(unix_socket_path=proxy.path) as client:
        service = AccountService(EventStore(client, store.category))
        service.fetch("a")
        proxy.lose(1, b"EVALSHA")
        assert service.deposit("a", 5).version == 12
        assert proxy.lost == 1
    assert AccountService(store).fetch("a").funds == 15


def test_save_stores_meta_with_each_event(store: EventStore) -> None:
    account = Account("a")
    account.create()
    account.deposit(1)
    Repository(store, Account).save(account, meta={"correlation_id": "c"})
    assert [event.meta for event in store.read("a")] == [{"correlation_id": "c"}] * 2


def test_save_stores_events_as_they_were_recorded(store: EventStore) -> None:
    class Tagged(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.tags: list[str] = []

        def apply(self, event: Any) -> None:
            if event.type == "tags":
                self.tags = event.data["tags"]
            else:
                self.tags.append(event.data["tag"])

    tagged = Tagged("a")
    tagged.record("tags", {"tags": ["x"]})
    tagged.record("tag", {"tag": "y"})
    Repository(store, Tagged).save(tagged)
    assert Repository(store, Tagged).load("a").tags == tagged.tags == ["x", "y"]


def test_save_does_not_cache_the_outcome_of_another_decision(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    other = accounts.load("a")
    mine = accounts.load("a")
    other.deposit(1)
    mine.deposit(2)  # the same request, decided differently
    first = accounts.save(other, idempotency_key="k", fingerprint="request")
    assert accounts.save(mine, idempotency_key="k", fingerprint="request") == first
    assert accounts.load("a").funds == 11
