"""Events that fail or kill their consumer are retried, then parked; no other events are parked."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from eventlab import EventStore, Recorded
from eventlab.subscriptions.group import WAITING
from eventlab.subscriptions.records import Lag
from eventlab.subscriptions.subscription import Subscription
from tests.subscriptions.support import (
    LONG,
    SHORT,
    fail_until_parked,
    fill,
    let_die,
    make_due,
    pending,
    subscribe,
)
from tests.support.waiting import wait_until


def test_ack_works_after_another_consumer_claimed_the_event(store: EventStore) -> None:
    slow = subscribe(store, "slow")
    quick = subscribe(store, "quick", claim_after=SHORT, max_failures=1)
    (event,) = fill(store, 1)
    slow.receive()
    wait_until(quick.receive)
    slow.ack([event])
    assert not quick.fail(event, "no")  # it is done: nothing waits, nothing is parked
    assert quick.lag() == Lag(0, 0, 0, 0, exact=True)


@pytest.mark.parametrize("max_failures", [1, 5])
def test_fail_takes_no_event_from_the_consumer_that_has_it_now(
    store: EventStore, max_failures: int
) -> None:
    (event,) = fill(store, 1)
    slow = subscribe(store, "slow", max_failures=max_failures)
    quick = subscribe(store, "quick", claim_after=SHORT)
    slow.receive()
    wait_until(quick.receive)
    assert not slow.fail(event, "no answer")
    assert pending(store) == {event.position: ("quick", 2)}
    assert quick.lag() == Lag(new=0, pending=1, waiting=0, parked=0, exact=True)
    assert not quick.fail(event, "no")
    assert quick.lag().waiting == 1


def test_failed_event_is_delivered_again_after_a_growing_pause(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, max_failures=20, backoff=10_000)
    due = store.keys.subscription("letters")[0]
    pauses = []
    for _ in range(12):
        assert letters.receive() == [event]
        assert not letters.fail(event, "no")
        now, _ = store.redis.time()
        pauses.append(store.redis.zscore(due, event.position) / 1000 - now)
        assert letters.receive() == []
        make_due(store, [event])
    for number, pause in enumerate(pauses):
        assert pause / (10_000 * 2 ** min(number, 8)) == pytest.approx(1, abs=0.26)
    assert len({round(pause % 1000) for pause in pauses}) > 1  # jittered


def test_event_is_parked_with_its_error_after_its_failures(
    store: EventStore,
) -> None:
    bad, *rest = fill(store, 4)
    letters = subscribe(store, max_failures=3, backoff=SHORT)
    tries = 0
    done = []
    while letters.lag().events:
        for event in letters.receive(2, block=1):
            if event == bad:
                tries += 1
                letters.fail(event, ValueError(f"no such street: {tries} \ud800"))
            else:
                letters.ack([event])
                done.append(event)
    assert (tries, done) == (3, rest)
    (parked,) = letters.parked()
    assert (parked.event, parked.position) == (bad, bad.position)
    assert parked.error == "ValueError: no such street: 3 ?"
    assert (parked.failures, parked.deliveries) == (3, 3)
    assert abs(parked.time.timestamp() - store.redis.time()[0]) < 60
    assert (letters.lag(), pending(store)) == (Lag(0, 0, 0, 1, exact=True), {})


def test_waiting_event_is_delivered_to_any_consumer(store: EventStore) -> None:
    (event,) = fill(store, 1)
    one = subscribe(store, "one", backoff=SHORT)
    two = subscribe(store, "two")
    one.fail(*one.receive(), "no")
    assert pending(store) == {event.position: (WAITING, 1)}
    assert one.lag() == Lag(new=0, pending=0, waiting=1, parked=0, exact=True)
    assert wait_until(two.receive) == [event]
    assert pending(store) == {event.position: ("two", 2)}


def test_waiting_event_is_never_claimed_before_it_is_due(store: EventStore) -> None:
    (event,) = fill(store, 1)
    one = subscribe(store, "one", backoff=LONG)
    two = subscribe(store, "two")
    one.fail(*one.receive(), "no")
    let_die(store, WAITING)
    assert two.receive() == []
    make_due(store, [event])
    assert two.receive() == [event]


def test_repeated_failure_counts_once(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, max_failures=2)
    letters.receive()
    assert not letters.fail(event, "first")
    assert not letters.fail(event, "again")  # it waits, so it is counted once
    assert letters.parked() == []
    once = subscribe(store, max_failures=1)
    make_due(store, [event])
    assert once.receive() == [event]
    assert once.fail(event, "second")
    assert once.fail(event, "again")  # it is parked
    assert [(p.error, p.failures) for p in once.parked()] == [("second", 2)]
    once.ack([event])  # by a slow consumer: done is done
    assert once.parked() == []


def killed_by(
    store: EventStore, killer: Recorded, lives: int, **options: Any
) -> tuple[list[Recorded], Subscription]:
    """Consume in up to ``lives`` lives; each ends, unreported, at the event that kills it."""
    done: list[Recorded] = []
    for _ in range(lives):
        life = subscribe(store, **options)
        while events := life.receive(10):
            for event in events:
                if event == killer:
                    break
                life.ack([event])
                done.append(event)
            else:
                continue
            break
        else:
            break
    return done, subscribe(store, "observer")


@pytest.mark.parametrize("deliveries", [3, 7, 20])
def test_event_that_kills_its_consumer_is_parked_and_the_others_are_not(
    store: EventStore, deliveries: int
) -> None:
    before, killer, *rest = fill(store, 25)
    done, letters = killed_by(store, killer, deliveries + 1, max_deliveries=deliveries)
    (parked,) = letters.parked()
    assert (parked.event, parked.failures, parked.deliveries) == (killer, 0, deliveries)
    assert f"delivered {deliveries} times" in parked.error
    assert sorted(done, key=lambda event: event.version) == [before, *rest]
    assert letters.lag().events == 0


def test_outage_parks_nothing(store: EventStore) -> None:
    events = fill(store, 30)
    for _ in range(15):  # restarted repeatedly, with nothing done
        subscribe(store).receive(10)
    letters = subscribe(store)
    got: list[Recorded] = []
    while some := letters.receive(10):
        got += some
    assert sorted(got, key=lambda event: event.version) == events
    assert letters.parked() == []


def test_failed_deliveries_do_not_count_as_crashes(store: EventStore) -> None:
    fill(store, 1)
    letters = subscribe(store, max_failures=10, max_deliveries=3, backoff=0.0001)
    fail_until_parked(letters)
    (parked,) = letters.parked()
    assert (parked.failures, parked.deliveries, parked.error) == (10, 10, "no")


def test_suspects_of_a_dead_consumer_are_delivered_alone(store: EventStore) -> None:
    events = fill(store, 3)
    for _ in range(2):
        subscribe(store, "dead").receive()
    others = fill(store, 3, "other")
    let_die(store, "dead")
    letters = subscribe(store)
    received = [letters.receive() for _ in range(4)]
    assert sorted(received, key=len) == [*([event] for event in events), others]


def test_failing_events_do_not_starve_suspects(store: EventStore) -> None:
    suspects = fill(store, 3)
    for _ in range(2):
        subscribe(store, "dead").receive()
    failing = subscribe(store, max_failures=1000)
    bad = fill(store, 20, "bad")
    for event in failing.receive(20):
        failing.fail(event, "no")
    let_die(store, "dead")
    letters = subscribe(store, "two", max_failures=1000)
    got: list[Recorded] = []
    for _ in range(10):
        make_due(store, bad)
        events = letters.receive()
        if events[0] in suspects:
            assert len(events) == 1
            assert pending(store)[events[0].position] == ("two", 3)
            letters.ack(events)
            got += events
        for event in events:
            letters.fail(event, "no")
    assert got == suspects


def test_failing_server_parks_nothing(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    events = fill(store, 2)
    letters = subscribe(store, max_failures=1)
    for event in letters.receive():
        letters.fail(event, "no")
    letters.replay()
    store.redis.xtrim(store.category, maxlen=0, approximate=False)

    def down(*args: Any) -> None:
        raise redis.ConnectionError("down")

    with monkeypatch.context() as patch:
        patch.setattr(Subscription, "_stored", down)
        with pytest.raises(redis.ConnectionError):
            letters.receive()
    assert letters.parked() == []
    assert letters.lag().waiting == 2
    make_due(store, events)
    assert letters.receive() == events
