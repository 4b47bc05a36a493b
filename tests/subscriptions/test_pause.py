"""An outage of what the work needs pauses the subscription for all consumers, and parks nothing."""

from __future__ import annotations

import pytest

from eventlab import EventStore
from eventlab.subscriptions.group import WAITING
from eventlab.subscriptions.records import Lag
from tests.subscriptions.support import (
    LONG,
    fill,
    let_pause_end,
    make_due,
    pending,
    subscribe,
)
from tests.subscriptions.test_bounds import RecordsCommands


def state_of(store: EventStore) -> dict[str, int]:
    found = store.redis.hgetall(store.keys.subscription("letters")[4])
    return {name.decode(): int(value) for name, value in found.items()}


def pause_of(store: EventStore) -> float:
    state = state_of(store)
    return (state["until"] - state["since"]) / 1000


def test_outage_pauses_every_consumer_until_one_event_is_acknowledged(store: EventStore) -> None:
    events = fill(store, 20)
    one = subscribe(store, backoff=LONG, claim_after=LONG)
    two = subscribe(store, "two", backoff=LONG, claim_after=LONG)
    (first, second) = one.receive(2)
    assert not one.fail(first, "no answer", outage=True)
    assert not one.fail(second, "no answer", outage=True)
    assert (one.receive(), two.receive()) == ([], [])
    assert one.lag() == Lag(new=18, pending=0, waiting=2, parked=0, exact=True, paused=True)
    let_pause_end(store)
    assert not one.lag().paused
    assert two.receive() == events[:1]  # a probe
    assert one.receive() == events[1:2]  # the other consumer's
    two.ack(events[:1])
    assert two.receive() == events[2:12]
    assert state_of(store) == {}


def test_pause_doubles_with_each_outage_in_succession(store: EventStore) -> None:
    fill(store, 1)
    letters = subscribe(store, backoff=1000, max_failures=1, max_deliveries=3)
    pauses = []
    for _ in range(12):
        (event,) = letters.receive()
        assert not letters.fail(event, "no answer", outage=True)
        pauses.append(pause_of(store))
        let_pause_end(store)
    for number, pause in enumerate(pauses):
        assert pause / (1000 * 2 ** min(number, 6)) == pytest.approx(1, abs=0.26)
    assert letters.parked() == []
    assert letters.receive() == [event]
    letters.ack([event])
    more = fill(store, 1)
    assert letters.receive() == more
    letters.fail(*more, "no answer", outage=True)
    assert pause_of(store) == pytest.approx(1000, rel=0.26)


def test_consumers_that_meet_the_same_outage_pause_once(store: EventStore) -> None:
    events = fill(store, 3)
    letters = subscribe(store, backoff=LONG)
    letters.receive()
    letters.fail(events[0], "no answer", outage=True)
    before = state_of(store)
    letters.fail(events[1], "no answer", outage=True)
    assert state_of(store) == before
    due = store.redis.zrange(store.keys.subscription("letters")[0], 0, -1)
    assert due == [event.position.encode() for event in events[:2]]
    letters.ack(events[2:])  # it was in work when the pause began
    assert state_of(store) == before
    letters.fail(events[0], "no answer", outage=True)  # a repeat after a lost response
    assert state_of(store) == before


def test_outage_does_not_count_as_a_failure_or_an_unanswered_delivery(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, max_failures=2, max_deliveries=3)
    for _ in range(10):
        assert letters.receive() == [event]
        letters.fail(event, "no answer", outage=True)
        let_pause_end(store)
    assert letters.receive() == [event]
    assert not letters.fail(event, "no such street")
    make_due(store, [event])
    assert letters.receive() == [event]
    assert letters.fail(event, "no such street")
    (parked,) = letters.parked()
    assert (parked.failures, parked.error) == (2, "no such street")


def test_event_that_an_outage_returned_is_delivered_after_the_pause(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, backoff=0.05)
    letters.receive()
    letters.fail(event, "no answer", outage=True)
    assert pending(store) == {event.position: (WAITING, 0)}
    assert subscribe(store, "two").receive(block=LONG) == [event]


def test_receive_waits_during_a_pause_without_asking_redis_all_the_time(store: EventStore) -> None:
    fill(store, 5)
    client = RecordsCommands(store.redis)
    letters = subscribe(EventStore(client, store.category), backoff=LONG)  # type: ignore[arg-type]
    letters.fail(*letters.receive(1), "no answer", outage=True)
    client.lengths.clear()
    assert letters.receive(block=0.2) == []
    assert len(client.lengths) < 10


def test_pause_that_began_in_the_future_is_over(store: EventStore) -> None:
    events = fill(store, 2)
    letters = subscribe(store, backoff=LONG)
    letters.fail(*letters.receive(1), "no answer", outage=True)
    assert letters.receive() == []
    state = store.keys.subscription("letters")[4]
    ahead = state_of(store)["since"] + 3_600_000  # as if Redis' clock had gone back since
    store.redis.hset(state, mapping={"since": ahead, "until": ahead + 3_600_000})
    assert letters.receive() == events[:1]


def test_event_that_is_handed_back_is_delivered_at_once_and_counts_nothing(
    store: EventStore,
) -> None:
    events = fill(store, 3)
    one = subscribe(store, claim_after=LONG, max_failures=1)
    two = subscribe(store, "two", claim_after=LONG, max_failures=1, max_deliveries=3)
    for _ in range(5):
        assert sorted(one.receive(), key=lambda event: event.version) == events
        one.hand_back(events[1:])
        assert two.receive() == events[1:]
        two.hand_back(events[1:])
        one.hand_back(events[:1])
        assert one.lag().waiting == 3
    assert one.lag() == Lag(new=0, pending=0, waiting=3, parked=0, exact=True)
