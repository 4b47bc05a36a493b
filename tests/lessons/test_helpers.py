"""The helpers with which pages lose replies and take measurements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from eventlab import NEW, Changes, Event, EventStore, Projector, Recorded, Subscription
from eventlab.errors import InvalidArgument
from eventlab.lessons import (
    consume,
    delivery_states,
    handle,
    project,
    rates,
    unreliable,
)
from tests.support.own_redis import redis_process, tls_tunnel


def test_unreliable_loses_a_reply_after_the_server_has_executed_the_command(lab: Any) -> None:
    key = "testUnreliable"
    lab.redis.delete(key)
    with unreliable(lab.redis) as (client, connection):
        connection.lose(1, b"INCR")
        assert client.incr(key) == 2  # sent again by the client
        assert connection.lost == 1
    assert lab.redis.getdel(key) == "2"


def test_unreliable_answers_in_the_types_of_the_client(lab: Any) -> None:
    with unreliable(lab.redis) as (client, _):
        assert client.echo("words") == lab.redis.echo("words")


def test_unreliable_loses_a_reply_of_a_server_with_tls_and_a_password(tmp_path: Path) -> None:
    with (
        redis_process(tmp_path, "--requirepass", "p@ss") as port,
        tls_tunnel(tmp_path, port) as (tls_port, certificate),
        Redis.from_url(
            f"rediss://:p%40ss@127.0.0.1:{tls_port}/3?ssl_ca_certs={certificate}"
        ) as plain,
        unreliable(plain) as (client, connection),
    ):
        connection.lose(1, b"INCR")
        assert client.incr("key") == 2
        assert (connection.lost, plain.get("key")) == (1, b"2")


def test_unreliable_rejects_a_cluster() -> None:
    cluster: Any = object.__new__(RedisCluster)
    with pytest.raises(InvalidArgument, match="run the notebook against a single Redis server"):
        unreliable(cluster).__enter__()


def test_delivery_states_names_new_pending_and_done_events(lab: Any) -> None:
    store = EventStore(lab.redis, "testDeliveryStates")
    store.drop()
    try:
        events = store.append("a", [Event("deposit", {"amount": 1})] * 3, expected=NEW)
        Subscription(store, "another", consumer="zoe").receive()
        letters = Subscription(store, "letters", consumer="ann")
        letters.ack(letters.receive(2)[:1])
        rows = delivery_states("now", store, "letters", events)
        assert [tuple(row.values()) for row in rows] == [
            ("now", "a 1", "done", 0),
            ("now", "a 2", "ann", 1),
            ("now", "a 3", "new", 0),
        ]
    finally:
        store.drop()


def test_rates_measures_the_ways_in_turn() -> None:
    order: list[str] = []
    found = rates({name: lambda name=name: order.append(name) for name in "ab"}, rounds=2, calls=3)
    assert "".join(order) == "aaabbbaaabbb"
    assert set(found) == {"a", "b"}
    assert min(found.values()) > 0


def plus(documents: Any, event: Recorded) -> None:
    documents.update_one({"_id": event.id}, {"$inc": {"n": 1}}, upsert=True)


class Counted:
    """How many events each aggregate has."""

    name = "testKilling"

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Count one event."""
        changes[event.id].inc("n", 1)


@pytest.fixture
def killing(lab: Any) -> Iterator[EventStore]:
    """Return a store with 400 events, whose groups and documents are removed afterwards."""
    store = EventStore(lab.redis, "testKilling")
    store.drop()
    lab.mongo.testKilling.drop()
    store.append("a", [Event("deposit", {"amount": 1})] * 400, expected=NEW)
    yield store
    Projector(store, lab.mongo, Counted()).reset()
    store.drop()


def test_consume_kills_between_the_write_and_the_acknowledgement(
    lab: Any, killing: EventStore
) -> None:
    assert consume(killing, plus, "testKilling", dies_after=200).killed
    assert lab.mongo.testKilling.find_one()["n"] == 200
    last = consume(killing, plus, "testKilling")
    assert (last.killed, last.rate > 0) == (False, True)
    assert lab.mongo.testKilling.find_one()["n"] == 500  # 100 were written twice


@pytest.mark.parametrize(("dies", "committed"), [("inside", 200), ("behind", 300)])
def test_project_kills_before_or_after_a_commit(
    lab: Any, killing: EventStore, dies: str, committed: int
) -> None:
    assert project(killing, Counted(), dies=dies).killed
    assert lab.mongo.testKilling.find_one()["n"] == committed
    assert not project(killing, Counted()).killed
    assert lab.mongo.testKilling.find_one()["n"] == 400


def touch(event: Recorded, folder: Path, subscription: Any, crash: Any) -> None:
    (folder / f"{event.version}").touch()
    crash()
    subscription.ack([event])


def test_handle_kills_where_the_handler_says_and_delivers_the_event_again(
    killing: EventStore, tmp_path: Path
) -> None:
    assert handle(killing, touch, str(tmp_path), crashes=True)
    assert [letter.name for letter in tmp_path.iterdir()] == ["1"]
    assert not handle(killing, touch, str(tmp_path))
    assert {letter.name for letter in tmp_path.iterdir()} > {"1", "2", "3"}
