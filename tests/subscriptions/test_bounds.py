"""No call makes Redis work for long: each is bounded in events and in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from eventlab import ANY, Event, EventStore
from eventlab.subscriptions import subscription as module
from eventlab.subscriptions.group import PAGE
from eventlab.subscriptions.records import Lag
from tests.subscriptions.support import LONG, fill, let_die, make_due, positions, subscribe
from tests.support.crash_servers import RedisServer, redis_server

__all__ = ["redis_server"]  # a fixture

LARGE = 200_000
MEGABYTE = 1_000_000


class RecordsCommands:
    """A client that remembers how many words each command had, and how many were scripts."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.lengths: list[int] = []
        self.scripts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self.lengths.append(len(args))
        self.scripts += args[0] == "EVALSHA"
        return self._client.execute_command(*args, **options)


@pytest.fixture
def large(redis_server: RedisServer) -> Iterator[EventStore]:
    """A category with 150 events of 200 kB, 30 MB in all, on a Redis of this test alone."""
    with redis_server.client() as client:
        store = EventStore(client, "s")
        for _ in range(15):
            store.append("a", [Event("mail", {"text": "x" * LARGE})] * 10, expected=ANY)
        yield store


def lua_memory(store: EventStore) -> int:
    return int(store.redis.info("memory")["used_memory_vm_eval"])


def calls(store: EventStore, command: str) -> int:
    stats = store.redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def reads(store: EventStore) -> int:
    return calls(store, "xrange")


def test_lag_reads_no_event_where_redis_knows_the_count(large: EventStore) -> None:
    letters = subscribe(large)
    letters.receive(1)
    before = reads(large)
    assert letters.lag() == Lag(new=149, pending=1, waiting=0, parked=0, exact=True)
    assert reads(large) == before


def test_lag_counts_large_events_in_pages_of_few_bytes(large: EventStore) -> None:
    letters = subscribe(large)
    large.redis.xdel(large.category, large.redis.xrange(large.category, count=1)[0][0])
    large.redis.xdel(large.category, large.redis.xrevrange(large.category, count=9)[8][0])
    assert large.redis.xinfo_groups(large.category)[0]["lag"] is None
    before = lua_memory(large)
    large.redis.config_resetstat()
    assert letters.lag() == Lag(new=148, pending=0, waiting=0, parked=0, exact=True)
    assert lua_memory(large) - before < 6 * MEGABYTE
    # A script reads 8 events, and only then sees that they have more than a megabyte.
    assert 148 // 8 <= reads(large) < calls(large, "evalsha") + calls(large, "eval")


@pytest.mark.parametrize("kind", ["new", "own", "abandoned", "due"])
def test_receive_ends_a_batch_of_large_events_early(large: EventStore, kind: str) -> None:
    letters = subscribe(large)
    if kind != "new":
        holder = subscribe(large, "one" if kind == "own" else "dead")
        while events := holder.receive(1000):
            for event in events if kind == "due" else []:
                holder.fail(event, "no")
        if kind == "due":
            make_due(large, list(large.read_all()))
        elif kind == "abandoned":
            let_die(large, "dead")
        letters = subscribe(large)
    got = []
    while events := letters.receive(1000):
        assert len(events) * LARGE < 4 * MEGABYTE + 8 * (LARGE + 100)
        letters.ack(events)
        got += events
    assert len(got) == 150
    assert lua_memory(large) < 30 * MEGABYTE


def test_receive_reads_few_large_events_that_are_blocked(large: EventStore) -> None:
    letters = subscribe(large, ordered=True)
    large.redis.config_resetstat()
    assert len(letters.receive(1000)) == 1  # the others wait for it
    scripts = calls(large, "evalsha") + calls(large, "eval")
    assert calls(large, "xreadgroup") * 8 * LARGE <= scripts * (4 * MEGABYTE + 8 * LARGE)


def test_receive_returns_at_most_a_thousand_events(store: EventStore) -> None:
    events = fill(store, 2_100)
    letters = subscribe(store, claim_after=LONG)
    batches = [letters.receive(5_000) for _ in range(4)]
    assert [len(batch) for batch in batches] == [1_000, 1_000, 100, 0]
    assert [event for batch in batches for event in batch] == events


def test_work_on_many_events_is_sent_to_redis_in_pages(store: EventStore) -> None:
    count = 1_200
    assert count > 2 * PAGE
    client = RecordsCommands(store.redis)
    recording = EventStore(client, store.category)  # type: ignore[arg-type]
    letters = subscribe(recording, max_failures=1, claim_after=LONG)
    events = fill(store, 2 * count)
    for event in events[:count]:
        store.redis.hset(
            store.keys.subscription("letters")[2], event.position, '1 1 1 ["a",1,"no"]'
        )
    received = [event for _ in range(3) for event in letters.receive(1_000)]
    client.lengths.clear()
    letters.ack(received[count:])
    assert letters.lag().parked == count
    assert letters.replay() == count
    assert letters.lag().waiting == count
    store.redis.hset(
        store.keys.subscription("letters")[2],
        mapping=dict.fromkeys(positions(events[:count]), '1 1 1 ["a",1,"no"]'),
    )
    assert letters.discard() == count
    assert max(client.lengths) < PAGE + 20
    # Whoever works on a great many is not asked for its own again: the command stays short.
    client.lengths.clear()
    assert letters.receive(1) != []
    assert max(client.lengths) < module.MAX_EVENTS + 50


def test_abandoned_event_behind_many_pending_ones_is_found_page_by_page(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCANNED_EVENTS", 5)
    fill(store, 40)
    subscribe(store, "busy", claim_after=LONG).receive(40)
    events = fill(store, 2)
    subscribe(store, "dead").receive()
    let_die(store, "dead")
    client = RecordsCommands(store.redis)
    letters = subscribe(EventStore(client, store.category), claim_after=60)  # type: ignore[arg-type]
    client.lengths.clear()
    assert letters.receive() == []
    assert len(client.lengths) == 2  # one page, and the events
    assert letters.receive(block=60) + letters.receive() == events


@pytest.mark.parametrize("how", ["ack", "discard"])
def test_script_that_finishes_ordered_events_reads_few_of_those_behind_them(
    redis_server: RedisServer, how: str
) -> None:
    """It reads each of them whole, because Redis reads no part of an element of a list."""
    store = EventStore(redis_server.client(), "s")
    for number in range(2):
        for account in range(120):
            store.append(str(account), [Event("withdraw")], expected=number)
    letters = subscribe(store, ordered=True, max_failures=1)
    events = letters.receive(200)
    assert len(events) == 120
    if how == "discard":
        for event in events:
            letters.fail(event, "no")
    store.redis.config_resetstat()
    if how == "discard":
        assert letters.discard() == 120
    else:
        letters.ack(events)
    stats = store.redis.info("commandstats")
    assert stats["cmdstat_lindex"]["calls"] == 120
    assert 120 / stats["cmdstat_evalsha"]["calls"] * LARGE <= 10 * MEGABYTE
    assert letters.lag().waiting == 120


@pytest.mark.parametrize("how", ["ack", "discard", "touch"])
def test_script_that_reads_large_events_leaves_some_for_the_next(
    store: EventStore, how: str
) -> None:
    large = [Event("mail", {"text": "x" * 900_000})] * 2
    for account in range(10):
        store.append(str(account), large, expected=0)
    client = RecordsCommands(store.redis)
    recording = EventStore(client, store.category)  # type: ignore[arg-type]
    letters = subscribe(recording, ordered=True, max_failures=1)
    held = [event for _ in range(4) for event in letters.receive(200)]
    assert len(held) == 10
    if how == "discard":
        for event in held:
            letters.fail(event, "no")
    client.scripts = 0
    if how == "touch":
        assert letters.touch(held) == 10
    elif how == "ack":
        letters.ack(held)
    else:
        assert letters.discard() == 10
    assert client.scripts == 2  # the first ends with the event that makes 4 MB of them
    lag = letters.lag()
    assert (lag.pending, lag.waiting, lag.parked) == ((10, 0, 0) if how == "touch" else (0, 10, 0))
