"""An ordered subscription: an event waits for the earlier ones of its aggregate, and no longer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from eventlab import ANY, Event, EventStore, InvalidArgument, Recorded, Subscription
from eventlab.store.keys import order
from eventlab.subscriptions.records import Lag
from tests.subscriptions.support import (
    LONG,
    SHORT,
    fill,
    let_die,
    let_pause_end,
    make_due,
    positions,
    subscribe,
)
from tests.support.store import write_original
from tests.support.waiting import wait_until


def ordered(store: EventStore, consumer: str = "one", max_failures: int = 5) -> Subscription:
    return subscribe(
        store, consumer, ordered=True, claim_after=LONG, backoff=LONG, max_failures=max_failures
    )


def work_through(letters: Subscription) -> list[Recorded]:
    """Acknowledge one event after another until there is none; return them."""
    done: list[Recorded] = []
    while events := letters.receive(1):
        letters.ack(events)
        done += events
    return done


def test_event_waits_for_the_earlier_ones_of_its_aggregate(store: EventStore) -> None:
    a = fill(store, 3)
    b = fill(store, 2, "b")
    letters = ordered(store)
    two = ordered(store, "two")
    assert letters.receive() == [a[0], b[0]]
    assert (letters.receive(), two.receive()) == ([], [])
    assert letters.lag() == Lag(new=0, pending=2, waiting=0, parked=0, exact=True, blocked=3)
    assert letters.lag().events == 5
    letters.ack([a[0]])
    assert two.receive() == [a[1]]
    letters.ack([b[0]])
    assert letters.receive() == [b[1]]
    two.ack([a[1]])
    assert letters.receive() == [a[2]]
    letters.ack([b[1], a[2]])
    assert letters.lag() == Lag(new=0, pending=0, waiting=0, parked=0, exact=True)
    assert store.redis.hlen(store.keys.subscription("letters")[3]) == 0  # nothing is left behind
    assert letters.receive() == []


def test_failed_event_holds_back_those_of_its_aggregate_only(store: EventStore) -> None:
    a = fill(store, 2)
    letters = ordered(store)
    letters.fail(*letters.receive(), "no")
    b = fill(store, 1, "b")
    a += fill(store, 1)
    assert letters.receive() == b
    assert letters.lag() == Lag(new=0, pending=1, waiting=1, parked=0, exact=True, blocked=2)
    make_due(store, a[:1])
    assert work_through(letters) == a


@pytest.mark.parametrize("decision", ["replay", "discard"])
def test_parked_event_holds_back_its_aggregate_until_an_operator_decides(
    store: EventStore, decision: str
) -> None:
    a = fill(store, 3)
    letters = ordered(store, max_failures=1)
    assert letters.fail(*letters.receive(), "no")
    b = fill(store, 2, "b")
    assert work_through(letters) == b
    assert letters.lag() == Lag(new=0, pending=0, waiting=0, parked=1, exact=True, blocked=2)
    assert [parked.event for parked in letters.parked()] == a[:1]
    operator = subscribe(store, "operator")  # it need not know that the subscription is ordered
    a += fill(store, 1)
    if decision == "replay":
        assert operator.replay() == 1
        assert operator.replay() == 0
        assert work_through(letters) == a
    else:
        assert operator.discard() == 1
        assert work_through(letters) == a[1:]
    assert letters.lag() == Lag(new=0, pending=0, waiting=0, parked=0, exact=True)


def test_parked_event_can_be_acknowledged_by_a_slow_consumer(store: EventStore) -> None:
    a = fill(store, 2)
    letters = ordered(store, max_failures=1)
    letters.fail(*letters.receive(), "no")
    letters.ack(a[:1])
    assert work_through(letters) == a[1:]


def test_event_of_a_dead_consumer_holds_back_its_aggregate(store: EventStore) -> None:
    a = fill(store, 2)
    ordered(store, "dead").receive()
    two = ordered(store, "two")
    assert two.receive() == []
    let_die(store, "dead", 2 * LONG)
    two = ordered(store, "two")
    assert two.receive() == a[:1]
    two.ack(a[:1])
    assert work_through(two) == a[1:]


def test_repeated_ack_releases_one_event_only(store: EventStore) -> None:
    a = fill(store, 3)
    letters = ordered(store)
    letters.receive()
    for _ in range(3):
        letters.ack(a[:1])
    assert letters.lag() == Lag(new=0, pending=0, waiting=1, parked=0, exact=True, blocked=1)
    assert letters.receive() == a[1:2]
    letters.ack([a[0], a[2]])  # one is done, the other has never been delivered
    assert letters.receive() == []
    letters.ack(a[1:2])
    assert letters.receive() == a[2:]


def test_blocked_events_are_read_from_the_log_when_they_were_trimmed(store: EventStore) -> None:
    a = fill(store, 4)
    letters = ordered(store, max_failures=1)
    letters.ack(letters.receive())
    letters.fail(*letters.receive(), "no")
    b = fill(store, 1, "b")
    assert letters.receive() == b
    assert store.trim(before=b[0].position) == 4
    assert letters.replay() == 1
    assert letters.receive() == a[1:2]
    letters.ack(a[1:2])
    assert letters.receive() == a[2:3]
    two = ordered(store, "two")
    assert two.receive() == []
    make_due(store, a[2:3])  # as if its consumer were dead
    assert two.receive() == a[2:3]
    two.fail(a[2], "no", outage=True)
    assert letters.lag().waiting == 1
    two.ack(a[2:3])
    let_pause_end(store)
    assert work_through(two) == a[3:]
    letters.ack(b)
    assert letters.lag() == Lag(new=0, pending=0, waiting=0, parked=0, exact=True)


def test_busy_aggregate_does_not_hide_the_others(store: EventStore) -> None:
    a = fill(store, 2_500)
    b = fill(store, 1, "b")
    letters = ordered(store)
    assert letters.receive(1) == a[:1]
    assert letters.receive(1) == b
    assert letters.lag().blocked == 2_499
    for event in a[:5]:
        letters.ack([event])
        assert letters.receive() == [store.read("a")[event.version]]


def test_lane_is_found_for_any_id(store: EventStore) -> None:
    ids = ["a/b", 'say "hi"', 'a","version":7,"', "back\\slash\\", "ü😀", "\x01\n\x7f", " ", "9"]
    events = [event for id in ids for event in fill(store, 2, id)]
    letters = ordered(store)
    assert letters.receive(100) == events[::2]
    letters.ack(events[::2])
    # Between aggregates there is no order: more than ten positions may be of one millisecond.
    received = letters.receive(100)
    assert sorted(received, key=lambda event: order(event.position)) == events[1::2]
    letters.ack(events[1::2])
    assert letters.lag() == Lag(new=0, pending=0, waiting=0, parked=0, exact=True)


def break_upcaster(store: EventStore) -> EventStore:
    def wrong(event: Recorded) -> Recorded:
        if event.version == 1:
            raise ValueError("no such shape")
        return event

    return EventStore(store.redis, store.category, upcasters=[wrong])


def break_meta(store: EventStore) -> EventStore:
    redis = store.redis
    (at, fields), *rest = redis.xrange(store.category)
    redis.delete(store.category)
    redis.xadd(store.category, fields | {b"meta": b"{"}, id=at)
    for each, others in rest:
        redis.xadd(store.category, others, id=each)
    return store


@pytest.mark.parametrize("redelivered", [False, True])
@pytest.mark.parametrize("break_first", [break_upcaster, break_meta])
def test_unreadable_event_is_parked_and_blocks_until_it_is_discarded(
    store: EventStore, break_first: Callable[[EventStore], EventStore], redelivered: bool
) -> None:
    a = fill(store, 3)
    broken = break_first(store)
    if redelivered:
        ordered(broken, "dead")._take(10)  # it dies before it parks the event
        let_die(store, "dead", 2 * LONG)
    letters = ordered(broken)
    assert letters.receive() == []
    (parked,) = letters.parked()
    assert parked.position == a[0].position
    assert letters.lag().blocked == 2
    assert letters.discard(parked.position) == 1
    assert work_through(letters) == a[1:]


def test_entry_that_the_store_does_not_know_blocks_nothing(store: EventStore) -> None:
    a = fill(store, 1)
    write_original(store, ("a", 2, "deposit", {}), ("b", 1, "create", {}), start=10**13)
    for text in ("[1]", '{"id":7}', '{"id":"a","version":1.5}', '{"id":"a","version":"1"}', "{"):
        store.redis.xadd(store.category, {"event": text})
    store.redis.xadd(store.category, {"other": json.dumps({"id": "a", "version": 1})})
    letters = ordered(store)
    assert positions(letters.receive(20))[0] == a[0].position
    assert letters.lag().blocked == 0
    assert len(letters.parked()) == 6


def test_order_is_kept_in_redis_however_the_subscription_is_opened(store: EventStore) -> None:
    a = fill(store, 2)
    ordered(store)
    plain = subscribe(store, "two", claim_after=LONG)
    assert plain.receive() == a[:1]
    plain.ack(a[:1])
    assert plain.receive() == a[1:]


def test_subscription_becomes_ordered_when_nothing_is_unfinished(store: EventStore) -> None:
    a = fill(store, 4)
    plain = subscribe(store, "plain", max_failures=1)
    for unfinished in ("pending", "parked", "waiting"):
        events = plain.receive(1)
        if unfinished == "parked":
            plain.fail(*events, "no")
        elif unfinished == "waiting":
            subscribe(store, "plain").fail(*events, "no")
        with pytest.raises(
            InvalidArgument, match="'letters' is not ordered, and cannot become ordered"
        ):
            ordered(store)
        plain.discard()
        plain.ack(events)
    assert ordered(store).receive() == a[3:]
    a += fill(store, 2)
    assert plain.receive() == []  # it follows at once
    plain.ack(a[3:4])
    assert plain.receive() == a[4:5]


def test_new_group_is_not_blocked_by_what_a_lost_one_left(store: EventStore) -> None:
    a = fill(store, 4)
    b = fill(store, 1, "b")
    letters = ordered(store, max_failures=1)
    assert letters.receive() == [a[0], b[0]]
    letters.ack(a[:1])
    letters.fail(*letters.receive(), "parked")
    letters.fail(b[0], "waits", outage=True)
    store.redis.xgroup_destroy(store.category, "letters")
    again = ordered(store)
    assert again.lag() == Lag(new=5, pending=0, waiting=0, parked=1, exact=True)
    assert again.receive() == [a[0], b[0]]
    assert again.replay() == 0  # it must not overtake the one in work
    assert again.lag().parked == 1
    again.ack(a[:1])
    assert again.replay() == 1
    assert work_through(again) == a[1:]
    store.redis.xgroup_destroy(store.category, "letters")
    assert subscribe(store).receive() == [*a, *b]  # not ordered any more


def test_event_that_a_lost_group_parked_blocks_new_ones_when_it_is_replayed(
    store: EventStore,
) -> None:
    a = fill(store, 2)
    letters = ordered(store, max_failures=1)
    letters.fail(*letters.receive(), "parked")
    store.redis.xgroup_destroy(store.category, "letters")
    again = subscribe(store, ordered=True, claim_after=LONG, start=a[1].position)
    assert again.replay() == 1
    more = fill(store, 1)
    assert again.receive() == a[:1]
    again.ack(a[:1])
    assert work_through(again) == a[1:] + more  # in order; the one in between may be a repeat


def test_events_that_are_appended_together_are_delivered_one_by_one(store: EventStore) -> None:
    letters = ordered(store)
    a = store.append("a", [Event("one"), Event("two")], expected=ANY)
    assert wait_until(lambda: letters.receive(block=1)) == a[:1]
    letters.ack(a[:1])
    assert letters.receive(block=LONG) == a[1:]


def test_released_event_waits_its_turn_behind_those_due_before_it(store: EventStore) -> None:
    letters = subscribe(store, ordered=True, claim_after=LONG, backoff=SHORT)
    a = fill(store, 3)
    b = fill(store, 1, "b")
    assert letters.receive(2) == [a[0], b[0]]
    letters.fail(b[0], "no")
    make_due(store, b)
    letters.ack(a[:1])
    assert letters.receive(1) == b
