"""A subscription delivers each event at least once, in turn from every kind, and loses none."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
import redis

from eventlab import ANY, Event, EventStore, Recorded
from eventlab.servers import Lab
from eventlab.subscriptions.records import Lag
from eventlab.subscriptions.subscription import Subscription
from tests.subscriptions.support import (
    LONG,
    SHORT,
    fill,
    let_die,
    make_due,
    pending,
    positions,
    subscribe,
)
from tests.support.waiting import wait_until


def test_receive_delivers_in_commit_order_until_acknowledged(store: EventStore) -> None:
    events = fill(store, 5)
    letters = subscribe(store)
    first = letters.receive(2)
    rest = letters.receive()
    assert first + rest == events
    letters.ack(first)
    assert letters.lag() == Lag(new=0, pending=3, waiting=0, parked=0, exact=True)
    letters.ack(iter(rest))
    letters.ack(rest)  # once more does no harm
    letters.ack([])
    assert (letters.receive(), letters.lag().events, pending(store)) == ([], 0, {})


def test_consumers_share_the_events(store: EventStore) -> None:
    events = fill(store, 40)
    one = subscribe(store, "one")
    two = subscribe(store, "two")
    got = [event for _ in range(4) for consumer in (one, two) for event in consumer.receive(5)]
    assert got == events


def test_subscription_may_start_before_the_first_event(store: EventStore) -> None:
    letters = subscribe(store)
    assert (letters.receive(), letters.lag().events) == ([], 0)
    assert letters.receive() == fill(store, 2)[:0]
    assert len(letters.receive()) == 2


def test_client_that_decodes_receives_the_same_events(lab: Lab, store: EventStore) -> None:
    recorded = store.append("é", [Event("ü🐍", {"n": 2**60}, {"by": "x"})], expected=ANY)
    letters = subscribe(EventStore(lab.redis, store.category), max_failures=1)
    assert letters.receive() == recorded
    assert letters.receive(block=SHORT) == []
    assert letters.fail(recorded[0], "né")
    assert [(p.event, p.error) for p in letters.parked()] == [(recorded[0], "né")]
    assert (letters.replay(), letters.receive()) == (1, recorded)
    assert not letters.close()


def test_restarted_consumer_receives_its_unfinished_events_first_and_once(
    store: EventStore,
) -> None:
    events = fill(store, 6)
    subscribe(store).receive(2)
    again = subscribe(store)
    assert again.receive(4) == events[:4]
    assert again.receive() == events[4:]
    assert again.receive() == []
    assert [deliveries for _, deliveries in pending(store).values()] == [2, 2, 1, 1, 1, 1]


def test_pending_event_is_delivered_to_no_other_consumer(store: EventStore) -> None:
    fill(store, 2)
    one = subscribe(store, "one", claim_after=LONG)
    two = subscribe(store, "two", claim_after=LONG)
    assert len(one.receive()) == 2
    assert (one.receive(), two.receive()) == ([], [])
    assert set(pending(store).values()) == {("one", 1)}


def test_events_of_a_dead_consumer_are_delivered_to_another(store: EventStore) -> None:
    events = fill(store, 3)
    subscribe(store, "dead").receive(2)
    patient = subscribe(store, "patient", claim_after=LONG)
    quick = subscribe(store, "quick", claim_after=SHORT)
    assert patient.receive() == events[2:]
    patient.ack(events[2:])
    assert wait_until(quick.receive) == events[:2]
    assert set(pending(store).values()) == {("quick", 2)}


def test_abandoned_event_is_delivered_to_the_same_consumer_again(store: EventStore) -> None:
    events = fill(store, 1)
    letters = subscribe(store, claim_after=SHORT)
    assert letters.receive() == events
    assert wait_until(letters.receive) == events  # neither acked nor failed


class LosesAnswers:
    """A client that loses the first replies to a command, and so sends it again like redis-py."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.losses = 0  # of each command
        self.connected = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        for _ in range(self.losses):
            self._client.execute_command(*args, **options)
        answer = self._client.execute_command(*args, **options)
        if not self.connected:
            raise redis.ConnectionError("the connection is lost")
        return answer


def test_lost_response_loses_no_event_and_counts_no_failure_twice(store: EventStore) -> None:
    events = fill(store, 3)
    client = LosesAnswers(store.redis)
    letters = subscribe(EventStore(client, store.category), max_failures=2, backoff=SHORT)  # type: ignore[arg-type]
    client.losses = 1
    assert letters.receive() == events
    for event in events:
        assert not letters.fail(event, "no")
    client.losses = 0
    assert (
        positions(wait_until(lambda: letters.receive() if letters.lag().waiting == 3 else 0)) != []
    )
    assert letters.parked() == []


@pytest.mark.parametrize("count", [1, 2, 10])
def test_lost_answers_do_not_count_as_deliveries(store: EventStore, count: int) -> None:
    """A delivery that nobody has seen must not bring an event closer to being parked."""
    events = fill(store, 10)
    client = LosesAnswers(store.redis)
    letters = subscribe(EventStore(client, store.category), max_deliveries=3)  # type: ignore[arg-type]
    letters.ack(letters.receive(1))
    client.losses = 11
    client.connected = False
    for _ in range(5):
        with pytest.raises(redis.ConnectionError):
            letters.receive(count)
    client.losses = 0
    client.connected = True
    got: list[Recorded] = []
    while some := letters.receive(count):
        got += some
    assert sorted(got, key=lambda event: event.version) == events[1:]
    assert letters.parked() == []
    seen_once = [deliveries for _, deliveries in pending(store).values() if deliveries == 1]
    assert len(seen_once) >= 9 - 5 * count
    assert max(deliveries for _, deliveries in pending(store).values()) <= 2
    assert len(subscribe(store, max_deliveries=3).receive()) == 9  # the next delivery counts again
    assert max(deliveries for _, deliveries in pending(store).values()) <= 3


def test_event_without_an_owner_is_delivered_and_then_trimmed(store: EventStore) -> None:
    """As XNACK of Redis 8.8 leaves it; here the consumer's name is empty instead."""
    events = fill(store, 2)
    subscribe(store, "released", claim_after=LONG).receive()
    store.redis.xclaim(store.category, "letters", "", 0, positions(events[:1]), justid=True)
    letters = subscribe(store, "two", claim_after=LONG)
    assert letters.receive() == events[:1]
    assert pending(store)[events[0].position][0] == "two"
    letters.ack(events)
    assert store.trim(before="99999999999999-0") == 2


def test_event_that_failed_before_the_clock_went_back_is_delivered(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, backoff=SHORT)
    letters.fail(*letters.receive(), "no")
    due, failed, *_ = store.keys.subscription("letters")
    failures, deliveries, ms, kept = store.redis.hget(failed, event.position).split(b" ", 3)
    hour_later = int(ms) + 3_600_000  # what Redis' clock said, before it was set right
    store.redis.hset(
        failed, event.position, b"%b %b %d %b" % (failures, deliveries, hour_later, kept)
    )
    store.redis.zadd(due, {event.position: hour_later + 1_000})
    assert wait_until(lambda: letters.receive(block=1)) == [event]


def test_pause_that_is_longer_than_others_is_kept(store: EventStore) -> None:
    fill(store, 1)
    letters = subscribe(store, backoff=LONG)
    letters.fail(*letters.receive(), "no")
    for _ in range(3):
        assert subscribe(store).receive() == []


def prepare_every_kind(store: EventStore, count: int) -> tuple[Subscription, dict[str, str]]:
    """A consumer that could take events of every kind; and of which kind each event is."""
    kinds: dict[str, str] = {}
    for kind in ("own", "due", "dead"):
        kinds |= dict.fromkeys(positions(fill(store, count)), kind)
        holder = subscribe(store, {"own": "one"}.get(kind, kind), backoff=LONG)
        events = holder.receive(count)
        if kind == "due":
            failed = events
            for event in events:
                holder.fail(event, "no")
    kinds |= dict.fromkeys(positions(fill(store, count)), "new")
    make_due(store, failed)
    let_die(store, "dead")
    return subscribe(store), kinds


@pytest.mark.parametrize("count", [8, 10, 100])
def test_receive_gives_every_kind_of_event_a_share(store: EventStore, count: int) -> None:
    letters, kinds = prepare_every_kind(store, 100)
    got = [kinds[position] for position in positions(letters.receive(count))]
    assert len(got) == count
    assert min(Counter(got)[kind] for kind in ("own", "due", "dead", "new")) >= count // 8
    assert got == sorted(got, key=["own", "due", "dead", "new"].index)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_receive_of_few_events_takes_the_kinds_in_turn(store: EventStore, count: int) -> None:
    letters, kinds = prepare_every_kind(store, 20)
    received = [
        [kinds[position] for position in positions(letters.receive(count))] for _ in range(4)
    ]
    assert received[0][0] == "own"
    assert {kind for got in received for kind in got} == {"own", "due", "dead", "new"}


def test_receive_gives_unused_shares_to_the_other_kinds(store: EventStore) -> None:
    letters, kinds = prepare_every_kind(store, 3)
    assert Counter(kinds[p] for p in positions(letters.receive(12))) == {
        "own": 3,
        "due": 3,
        "dead": 3,
        "new": 3,
    }
    fill(store, 10)
    assert len(letters.receive(10)) == 10


def test_failing_events_do_not_starve_new_ones(store: EventStore) -> None:
    letters = subscribe(store, max_failures=1000, backoff=0.0001)
    bad = set(positions(fill(store, 30, "bad")))
    good = set(positions(fill(store, 30, "good")))
    for _ in range(200):
        for event in letters.receive(4):
            if event.position in bad:
                letters.fail(event, "no")
            else:
                letters.ack([event])
                good.discard(event.position)
    assert good == set()


def test_receive_returns_new_events_immediately(store: EventStore) -> None:
    letters = subscribe(store)
    timer = threading.Timer(0.1, fill, (store, 1))
    timer.start()
    begin = time.monotonic()
    assert len(letters.receive(block=60)) == 1
    assert time.monotonic() - begin < 30  # not by the clock
    timer.join()


def test_receive_stops_waiting_when_an_event_is_due_or_abandoned(
    store: EventStore,
) -> None:
    events = fill(store, 2)
    letters = subscribe(store, backoff=0.1, claim_after=30)
    subscribe(store, "dying").receive(1)
    assert letters.receive() == events[1:]
    letters.fail(events[1], "no")
    assert letters.receive(block=60) == events[1:]
    let_die(store, "dying", seconds=29.7)
    assert letters.receive(block=60) == events[:1]


@pytest.mark.parametrize("decode", [True, False])
def test_receive_may_block_longer_than_the_socket_timeout(
    lab: Lab, category: str, decode: bool
) -> None:
    path = lab.redis.connection_pool.connection_kwargs["path"]
    with redis.Redis(unix_socket_path=path, socket_timeout=0.2, decode_responses=decode) as client:
        letters = subscribe(EventStore(client, category))
        assert letters.receive(block=0.7) == []
        # What no client can decode ends the wait like any other. The other client waits longer
        # for a reply: this one may add it a second time.
        lab.redis.xadd(category, {b"event": b"\xff"})
        assert letters.receive(block=0.1) == []
        assert len(letters.parked()) == 1
