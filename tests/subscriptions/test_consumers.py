"""Consumers leave when they hold nothing."""

from __future__ import annotations

from eventlab import EventStore
from eventlab.subscriptions.group import WAITING
from tests.subscriptions.support import LONG, consumers_of, fill, let_die, pending, subscribe
from tests.support.waiting import wait_until


def test_close_removes_a_consumer_that_holds_nothing(store: EventStore) -> None:
    events = fill(store, 2)
    letters = subscribe(store)
    letters.receive()
    letters.ack(events[:1])
    assert not letters.close()
    assert pending(store) == {events[1].position: ("one", 1)}  # nothing is dropped with it
    letters.fail(events[1], "no")
    assert letters.close()
    assert letters.close()
    assert consumers_of(store) == {WAITING}
    assert list(pending(store)) == [events[1].position]


def test_dead_consumers_are_removed_once_they_hold_nothing(store: EventStore) -> None:
    fill(store, 2)
    holder, done, patient = (
        subscribe(store, name, claim_after=LONG) for name in ("holder", "done", "patient")
    )
    holder.receive(1)
    done.ack(done.receive(1))
    patient.receive()
    assert {"holder", "done"} <= consumers_of(store)  # neither is quiet for long
    quick = subscribe(store, "quick", claim_after=0.01)
    wait_until(lambda: quick.ack(quick.receive()) or consumers_of(store) == {"quick"})
    assert quick.lag().events == 0
    fill(store, 1)  # a consumer that was removed can join again
    assert len(done.receive()) == 1


def test_dead_consumer_that_holds_events_is_not_removed(store: EventStore) -> None:
    events = fill(store, 3)
    subscribe(store, "holder").receive()
    let_die(store, "holder")
    quick = subscribe(store, "quick")
    assert quick.receive(1) == events[:1]
    assert {consumer for consumer, _ in pending(store).values()} == {"holder", "quick"}
    assert "holder" in consumers_of(store)
