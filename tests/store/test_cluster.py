"""A category works unchanged on a real Redis Cluster of three masters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from redis.cluster import RedisCluster

from eventlab import (
    ANY,
    EXISTS,
    NEW,
    EventStore,
    IdempotencyKeyReused,
    NotAdopted,
    Projector,
    Subscription,
    Trimmed,
    VersionConflict,
    settings,
)
from eventlab.accounts import AccountService, AccountView, InsufficientFunds
from eventlab.cli.checks import Check, server_checks
from eventlab.servers import Lab
from tests.support.cluster import cluster
from tests.support.store import deposits


@pytest.fixture(scope="module")
def three_masters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as client:
        yield client


# Names that fall on different masters, so that no test passes by luck.
@pytest.fixture(params=["accountStream", "mailStream", "s2"])
def store(request: pytest.FixtureRequest, three_masters: RedisCluster) -> Iterator[EventStore]:
    store = EventStore(three_masters, request.param)
    yield store
    store.drop()


def test_categories_are_on_all_masters(three_masters: RedisCluster) -> None:
    names = ["accountStream", "mailStream", "s2"]
    assert len({three_masters.get_node_from_key(name).port for name in names}) == 3


def test_store_appends_repeats_and_reads(store: EventStore) -> None:
    first = store.append("a", deposits(1, 2), expected=NEW, token="t")
    assert store.append("a", deposits(1, 2), expected=NEW, token="t") == first
    with pytest.raises(VersionConflict):
        store.append("a", deposits(3), expected=1)
    again = store.append("a", deposits(3), expected=EXISTS, idempotency_key="key")
    assert (
        store.append("a", deposits(3), expected=ANY, idempotency_key="key")
        == again
        == store.seen("a", "key")
    )
    with pytest.raises(IdempotencyKeyReused):
        store.append("a", deposits(4), expected=ANY, idempotency_key="key")
    store.append("b", deposits(9), expected=ANY)
    assert store.read("a") == first + again
    assert store.read("a", limit=2, reverse=True) == (first + again)[:0:-1]
    assert [(event.id, event.version) for event in store.read_all()] == [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("b", 1),
    ]
    assert (store.ids(), store.version("a"), store.head()) == (
        ["a", "b"],
        3,
        store.read("b")[0].position,
    )


def test_store_trims_drops_and_adopts(store: EventStore) -> None:
    store.append("a", deposits(*range(1, 11)), expected=NEW)
    assert store.trim(before=store.read("a")[4].position) == 4
    with pytest.raises(Trimmed):
        list(store.read_all())
    store.drop()
    assert (store.version("a"), store.ids(), store.head()) == (0, [], "0-0")
    store.redis.xadd(store.category, {"event": '{"id":"a","version":1,"type":"create"}'})
    store.redis.xadd(store.category, {"event": '{"id":"a","version":1,"type":"create"}'})
    with pytest.raises(NotAdopted):
        store.append("a", deposits(1), expected=NEW)
    assert store.adopt(renumber=True) == 2
    assert store.version("a") == 2


def test_account_service_uses_snapshots(store: EventStore) -> None:
    service = AccountService(store, snapshot_every=5)
    service.create("JohnDoe")
    for _ in range(20):
        service.deposit("JohnDoe", 5)
    service.withdraw("JohnDoe", 99)
    assert AccountService(store, snapshot_every=5).fetch("JohnDoe").funds == 1
    assert store.redis.exists(store.keys.snapshot("JohnDoe"))


def test_repeat_gets_the_first_rejection(store: EventStore) -> None:
    service = AccountService(store)
    service.create("JohnDoe")
    for _ in range(2):
        with pytest.raises(InsufficientFunds):
            service.withdraw("JohnDoe", 5, idempotency_key="key")
        service.deposit("JohnDoe", 5)


def test_subscription_receives_fails_parks_and_replays(store: EventStore) -> None:
    events = store.append("a", deposits(1, 2, 3), expected=NEW)
    letters = Subscription(store, "letters", consumer="letters-1", max_failures=1)
    assert letters.receive(10) == events
    letters.ack(events[:2])
    assert letters.fail(events[2], "no such street")
    assert [parked.event for parked in letters.parked()] == [events[2]]
    assert (letters.lag().events, letters.lag().parked) == (0, 1)
    assert letters.replay() == 1
    assert letters.receive(10, block=5) == [events[2]]
    letters.ack([events[2]])
    assert letters.close()


def test_view_follows_and_is_rebuilt_after_a_trim(
    store: EventStore, mongo: Database[dict[str, Any]]
) -> None:
    view = AccountView(f"cluster_{store.category}_{os.urandom(4).hex()}")
    with Projector(store, mongo, view) as projector:
        service = AccountService(store)
        service.create("JohnDoe")
        service.deposit("JohnDoe", 5)
        assert projector.catch_up() == 2
        projector.wait_until("JohnDoe", 2, seconds=60)
        assert store.trim(before=store.head()) == 1
        service.deposit("JohnDoe", 5)
        assert projector.lag().events == 1
        assert projector.rebuild(progress=False) == 3
        assert mongo[view.name].find_one("JohnDoe")["funds"] == 10
        projector.reset()
    mongo[view.name].drop()


def test_settle_asks_each_master_of_a_category_in_slices(three_masters: RedisCluster) -> None:
    store = EventStore(three_masters, "slicedStream", slices=64)
    masters = [three_masters.get_redis_connection(node) for node in three_masters.get_primaries()]
    for master in masters:
        master.config_resetstat()
    store.settle(disk=0)
    asked = [master.info("commandstats")["cmdstat_set"]["calls"] for master in masters]
    assert asked == [1, 1, 1]  # the write that WAIT waits for


def test_doctor_checks_the_master_of_each_slice(
    three_masters: RedisCluster, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EventStore(three_masters, "slicedStream", slices=64)
    store.append("a", deposits(1), expected=NEW)
    first, last = (store.redis.get_node_from_key(store.all_slices()[n].keys.stream) for n in (0, 1))
    assert first.name != last.name
    masters = [three_masters.get_redis_connection(node) for node in three_masters.get_primaries()]
    other = three_masters.get_redis_connection(last)
    for master in masters:
        master.execute_command("ACL SETUSER app on >pw ~* +@all")
    monkeypatch.setenv(settings.REDIS_URL, f"redis://app:pw@127.0.0.1:{first.port}")
    monkeypatch.setenv(settings.CATEGORY, "slicedStream")

    def checked() -> dict[str, Check]:
        found = server_checks(Path(os.environ[settings.DATA]))
        return {
            check.name: check
            for check in found
            if check.name in ("Redis permissions", "Redis append")
        }

    try:
        found = checked()
        assert all(check.ok for check in found.values())
        assert found["Redis append"].detail == "appended, read, removed on 3 masters"
        assert len(store.ids()) == 1
        other.config_set("min-replicas-to-write", 1)
        found = checked()
        assert found["Redis permissions"].ok
        assert found["Redis append"].detail.startswith(f"slice 1 on {last.name}: Redis is unavail")
        other.config_set("min-replicas-to-write", 0)
        other.execute_command("ACL SETUSER app -rpush")
        found = checked()
        assert not any(check.ok for check in found.values())
        assert found["Redis permissions"].detail == (
            f"slice 1 on {last.name}: not allowed for category 'slicedStream': "
            "rpush {slicedStream#1}:doctor"
        )
    finally:
        other.config_set("min-replicas-to-write", 0)
        for master in masters:
            master.execute_command("ACL DELUSER app")
        store.drop()
