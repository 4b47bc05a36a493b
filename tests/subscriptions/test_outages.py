"""Redis fails over, is full, or denies a command: nothing is half done, and a later call works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from eventlab import EventStore, Recorded
from eventlab.servers import Lab
from eventlab.store.answers import is_outage, misconfiguration
from eventlab.store.keys import order
from eventlab.subscriptions.records import Lag
from eventlab.subscriptions.subscription import Subscription
from tests.subscriptions.support import LONG, fill, make_due, pending, subscribe
from tests.support.crash_servers import RedisServer, redis_server
from tests.support.store import contents
from tests.support.waiting import wait_until

__all__ = ["redis_server"]  # a fixture


@pytest.fixture
def server_store(redis_server: RedisServer) -> Iterator[EventStore]:
    """A store on a Redis of this test alone."""
    with redis_server.client() as client:
        yield EventStore(client, "s")


def test_receive_keeps_waiting_after_redis_unblocks_its_readers(server_store: EventStore) -> None:
    letters = subscribe(server_store)
    client = server_store.redis
    with ThreadPoolExecutor() as pool:
        received = pool.submit(letters.receive, block=60)
        wait_until(lambda: client.info("clients")["blocked_clients"] == 1)
        with client.pipeline(transaction=True) as failover:
            failover.execute_command("REPLICAOF", "127.0.0.1", "1")
            failover.execute_command("REPLICAOF", "NO", "ONE")
            failover.execute()
        events = fill(server_store, 1)
        assert received.result() == events
    errors = client.info("errorstats")
    assert "errorstat_UNBLOCKED" in errors, "the reader was not blocked: the test proves nothing"


def replica(client: redis.Redis) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")


def without_replicas(client: redis.Redis) -> None:
    client.config_set("min-replicas-to-write", 1)


def full(client: redis.Redis) -> None:
    client.config_set("maxmemory", 1)


def good_again(client: redis.Redis) -> None:
    client.execute_command("REPLICAOF", "NO", "ONE")
    client.config_set("min-replicas-to-write", 0)
    client.config_set("maxmemory", 0)


@pytest.mark.parametrize("fault", [replica, without_replicas, full])
@pytest.mark.parametrize("max_failures", [1, 5])
def test_call_that_redis_rejects_for_now_is_an_outage_and_changes_nothing(
    server_store: EventStore, fault: Callable[[redis.Redis], None], max_failures: int
) -> None:
    client = server_store.redis
    events = fill(server_store, 4)
    letters = subscribe(server_store, max_failures=max_failures, claim_after=LONG)
    parking = subscribe(server_store, "parking", max_failures=1)
    assert parking.fail(*parking.receive(1), "no")
    received = letters.receive(2)
    assert received == events[1:3]
    fault(client)
    calls: list[Callable[[], object]] = [
        lambda: letters.fail(received[0], "no"),
        parking.replay,
    ]
    if fault is not full:  # a full Redis takes what frees memory or needs none
        calls += [letters.receive, lambda: letters.ack(received), letters.discard]
    before = contents(server_store), pending(server_store)
    for call in calls:
        with pytest.raises(redis.RedisError) as raised:
            call()
        assert is_outage(raised.value)
        assert (contents(server_store), pending(server_store)) == before
    good_again(client)
    assert letters.fail(received[0], "no") is (max_failures == 1)
    letters.ack(received[1:])
    assert letters.receive() == events[3:]
    letters.ack(events[3:])
    waiting, parked = (0, 2) if max_failures == 1 else (1, 1)
    assert letters.lag() == Lag(0, 0, waiting, parked, exact=True)


def test_event_whose_entry_is_gone_is_kept_by_a_redis_that_is_full(
    server_store: EventStore,
) -> None:
    """Redis lets go of a pending entry when it has none in the stream: first it must be noted."""
    client = server_store.redis
    events = fill(server_store, 1)
    letters = subscribe(server_store)
    assert letters.receive() == events
    restarted = subscribe(server_store)
    client.xtrim(server_store.category, maxlen=0)
    full(client)
    before = contents(server_store), pending(server_store)
    with pytest.raises(redis.RedisError) as raised:
        restarted.receive()
    assert is_outage(raised.value)
    assert (contents(server_store), pending(server_store)) == before
    good_again(client)
    assert restarted.receive() == []
    assert [each.position for each in restarted.parked()] == [events[0].position]


NEEDED = {
    "receive": ("xack", "xclaim", "xreadgroup", "zrem", "zadd", "hset"),
    "fail": ("xclaim", "zadd", "hset"),
    "park": ("xack", "zrem", "hset", "hdel"),
    "ack": ("xack", "zrem", "hdel"),
    "replay": ("xclaim", "zadd", "hset", "hdel"),
    "outage": ("xclaim", "zadd", "hset"),
    "hand back": ("xclaim", "zadd", "hset"),
}
ORDERED = {
    "receive": ("llen", "hset", "xack"),
    "ack": ("hset", "hdel", "lindex", "zadd", "xclaim"),
    "replay": ("hset", "hdel"),
    "discard": ("hset", "hdel", "lindex", "zadd", "xclaim"),
}


@pytest.fixture
def limited(lab: Lab, store: EventStore) -> Iterator[Callable[[str], EventStore]]:
    """Return the store as seen by a user who has no permission to run one command."""
    path = lab.redis.connection_pool.connection_kwargs["path"]
    clients: list[redis.Redis] = []

    def lacking(command: str) -> EventStore:
        store.redis.execute_command(
            "ACL", "SETUSER", store.category, "on", ">secret", "~*", "+@all", f"-{command}"
        )
        client = redis.Redis(unix_socket_path=path, username=store.category, password="secret")
        clients.append(client)
        return EventStore(client, store.category)

    yield lacking
    for client in clients:
        client.close()
    store.redis.execute_command("ACL", "DELUSER", store.category)


@pytest.mark.parametrize(
    ("call", "command", "ordered"),
    [
        (call, command, ordered)
        for ordered, needed in ((False, NEEDED), (True, ORDERED))
        for call in needed
        for command in needed[call]
    ],
)
def test_script_that_lacks_a_permission_writes_nothing(
    store: EventStore,
    limited: Callable[[str], EventStore],
    call: str,
    command: str,
    ordered: bool,
) -> None:
    parking = subscribe(store, "parking", max_failures=1, ordered=ordered)
    events = [event for id in "abcdef" for event in fill(store, 1 + ordered, id)]
    assert parking.fail(*parking.receive(1), "no")
    waiting = parking.receive(1)
    subscribe(store, "parking").fail(*waiting, "no")
    make_due(store, waiting)
    received = subscribe(store).receive(2)
    weak = Subscription(
        limited(command),
        "letters",
        consumer="one",
        max_failures=1 if call == "park" else 5,
        claim_after=LONG,
    )
    calls: dict[str, Callable[[], object]] = {
        "receive": weak.receive,
        "fail": lambda: weak.fail(received[0], "no"),
        "park": lambda: weak.fail(received[0], "no"),
        "ack": lambda: weak.ack(received),
        "replay": weak.replay,
        "discard": weak.discard,
        "outage": lambda: weak.fail(received[0], "no", outage=True),
        "hand back": lambda: weak.hand_back(received),
    }
    before = contents(store), pending(store)
    with pytest.raises(redis.ResponseError, match=f"(?i){command}") as raised:
        calls[call]()
    assert misconfiguration(raised.value)
    assert (contents(store), pending(store)) == before
    strong = subscribe(store)
    strong.replay()
    got: list[Recorded] = []
    while some := strong.receive():
        strong.ack(some)
        got += some
    assert sorted(got, key=lambda event: order(event.position)) == events
