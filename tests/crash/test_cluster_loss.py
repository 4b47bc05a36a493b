"""A failover to a replica that lags loses events: all of their readers report the loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from eventlab import (
    Event,
    EventStore,
    NotSettled,
    Projector,
    Repository,
    Subscription,
    SubscriptionLost,
    VersionConflict,
    ViewAhead,
)
from eventlab.accounts import Account, AccountView
from eventlab.lessons.redis_nodes import Cluster
from tests.support.steady_cluster import lose, steady_cluster
from tests.support.store import deposits
from tests.support.waiting import wait_until
from tests.support.workload import patient_store

pytestmark = pytest.mark.crash


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    # A node of another shard that stalls after the loss does not matter.
    with steady_cluster(tmp_path, "--cluster-require-full-coverage", "no") as running:
        yield running


@pytest.fixture
def store(cluster: Cluster) -> Iterator[EventStore]:
    store = patient_store(cluster.url)
    yield store
    store.redis.close()


def test_lost_events_are_named_by_view_repository_and_subscription(
    cluster: Cluster, store: EventStore, mongo: Database[dict[str, Any]]
) -> None:
    shard = cluster.shards[0]
    accounts = Repository(store, Account)
    with Projector(store, mongo, AccountView("lossView")) as projector:
        projector.reset()
        letters = Subscription(store, "letters", consumer="c")
        store.append("a", [Event("create"), *deposits(1, 2)], expected=0)
        shard.detach()
        store.append("a", deposits(3, 4), expected=3)
        account = accounts.load("a")
        assert account.funds == 10
        assert projector.catch_up() == 5
        letters.ack(letters.receive())
        lose(cluster, shard)
        with pytest.raises(ViewAhead):
            projector.catch_up()
        with pytest.raises(SubscriptionLost, match="'letters' has delivered an event"):
            letters.receive()
        account.deposit(1)
        with pytest.raises(VersionConflict, match="were lost") as conflict:
            accounts.save(account)
        assert (conflict.value.expected, conflict.value.actual) == (5, 3)
        assert accounts.load("a").funds == 3


def test_settled_events_are_not_lost(cluster: Cluster, store: EventStore) -> None:
    shard = cluster.shards[0]
    settled = store.append("a", [Event("create")], expected=0)
    store.settle(settled, disk=0, replicas=1)
    shard.detach()
    lost = store.append("a", deposits(1), expected=1, token="again")
    with pytest.raises(NotSettled):
        store.settle(lost, disk=0, replicas=1, timeout=1)
    lose(cluster, shard)
    assert wait_until(lambda: store.read("a")) == settled
    with pytest.raises(NotSettled, match="was lost"):
        store.settle(lost, disk=1, timeout=60)
    shard.master.start()
    wait_until(lambda: shard.master.follows(shard.replica))
    again = store.append("a", deposits(1), expected=1, token="again")
    store.settle(again, disk=0, replicas=1)
    assert store.read("a") == [*settled, *again]
