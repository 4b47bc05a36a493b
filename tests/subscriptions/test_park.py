"""Parked events can be replayed and discarded; what cannot be read is parked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventlab import EventStore, Recorded, TrimRefused
from eventlab.subscriptions.records import Lag
from eventlab.subscriptions.subscription import Subscription
from tests.subscriptions.support import (
    SHORT,
    fail_until_parked,
    fill,
    let_die,
    make_due,
    positions,
    subscribe,
)
from tests.support.waiting import wait_until


@pytest.fixture
def parking(store: EventStore) -> Iterator[tuple[Subscription, list[Recorded]]]:
    """A subscription with three events parked."""
    letters = subscribe(store, max_failures=1, backoff=0.0001)
    events = fill(store, 3)
    for event in letters.receive():
        assert letters.fail(event, f"no {event.version}")
    return letters, events


@pytest.mark.parametrize("trimmed", [False, True])
def test_parked_events_are_listed_replayed_and_discarded(
    store: EventStore, parking: tuple[Subscription, list[Recorded]], trimmed: bool
) -> None:
    letters, events = parking
    if trimmed:
        (last,) = fill(store, 1)
        letters.ack(letters.receive())
        assert store.trim(before=last.position) == 3
    assert [(p.event, p.error) for p in letters.parked()] == [
        (e, f"no {e.version}") for e in events
    ]
    assert letters.replay("1-1") == letters.discard("1-1") == 0
    assert letters.replay(events[1].position) == 1
    assert letters.replay(events[1].position) == 0
    assert letters.receive() == [events[1]]
    assert letters.receive() == []
    letters.ack([events[1]])
    assert letters.discard(events[0].position) == 1
    assert [p.event for p in letters.parked()] == [events[2]]
    assert letters.replay() == 1
    assert letters.receive() == [events[2]]
    assert letters.fail(events[2], "again")
    assert [(p.error, p.failures, p.deliveries) for p in letters.parked()] == [("again", 1, 1)]
    assert (letters.discard(), letters.discard(), letters.replay()) == (1, 0, 0)
    assert letters.lag() == Lag(0, 0, 0, 0, exact=True)
    assert not store.redis.exists(*store.keys.subscription("letters"))


def test_replay_resets_the_counts(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, max_failures=3, backoff=0.0001)
    fail_until_parked(letters)
    letters.replay()
    for last in (False, False, True):
        assert letters.fail(*wait_until(letters.receive), "no") is last
    assert [(p.event, p.failures, p.deliveries) for p in letters.parked()] == [(event, 3, 3)]


def test_replayed_event_is_safe_after_its_entry_is_trimmed(
    store: EventStore, parking: tuple[Subscription, list[Recorded]]
) -> None:
    _, events = parking
    letters = subscribe(store, max_failures=2)
    store.redis.xtrim(store.category, maxlen=0, approximate=False)
    letters.replay()
    assert letters.receive() == events
    assert letters.receive() == subscribe(store, "two").receive() == []  # pending
    letters.ack(events[:1])
    assert not letters.fail(events[1], "no")
    make_due(store, events[1:2])
    assert letters.receive() == events[1:2]
    assert letters.fail(events[1], "no")
    for life in range(2):  # the third is never answered: it comes again, and is parked in the end
        make_due(store, events[2:])
        assert subscribe(store, f"life {life}").receive() == events[2:]
    make_due(store, events[2:])
    assert subscribe(store, "last life", max_deliveries=3).receive() == []
    parked = letters.parked()
    assert [(p.event, p.failures, p.deliveries) for p in parked] == [
        (events[1], 2, 2),
        (events[2], 0, 3),
    ]
    assert letters.lag() == Lag(0, 0, 0, 2, exact=True)


def test_trim_waits_for_pending_and_waiting_events_but_not_for_parked_ones(
    store: EventStore,
) -> None:
    events = fill(store, 3)
    letters = subscribe(store, max_failures=2, backoff=SHORT)
    letters.ack(letters.receive()[1:])
    for act in (lambda: None, lambda: letters.fail(events[0], "no")):
        act()
        with pytest.raises(TrimRefused, match="letters"):
            store.trim(before=events[2].position)
    letters.fail(*wait_until(letters.receive), "no")
    assert store.trim(before=events[2].position) == 2
    assert letters.replay() == 1
    assert letters.receive() == events[:1]


def test_trim_waits_for_a_replayed_event(
    store: EventStore, parking: tuple[Subscription, list[Recorded]]
) -> None:
    letters, events = parking
    letters.replay(events[0].position)
    with pytest.raises(TrimRefused):
        store.trim(before=events[1].position)


@pytest.mark.parametrize("reclaimed", [False, True])
def test_entry_trimmed_while_pending_is_parked_as_lost(store: EventStore, reclaimed: bool) -> None:
    events = fill(store, 3)
    subscribe(store).receive()
    let_die(store, "one")
    store.redis.xdel(store.category, events[0].position)
    store.redis.xtrim(store.category, maxlen=1, approximate=False)
    letters = subscribe(store, "two" if reclaimed else "one")
    assert letters.receive() == events[2:]
    letters.ack(events[2:])
    assert [(p.position, p.event) for p in letters.parked()] == [
        (e.position, None) for e in events[:2]
    ]
    assert all("its entry was deleted" in p.error for p in letters.parked())
    assert letters.lag() == Lag(0, 0, 0, 2, exact=True)
    assert letters.replay() == 2  # without success
    assert (letters.receive(), positions(letters.parked())) == ([], positions(events[:2]))
    assert letters.discard() == 2


def test_entry_trimmed_while_waiting_is_read_from_the_aggregate_log(store: EventStore) -> None:
    events = fill(store, 2)
    letters = subscribe(store, backoff=SHORT, max_failures=2)
    for event in letters.receive():
        letters.fail(event, "no")
    store.redis.xtrim(store.category, maxlen=0, approximate=False)
    got = letters.receive(block=60)
    while len(got) < 2:
        got += letters.receive(block=60)
    assert sorted(got, key=lambda event: event.version) == events
    assert letters.lag() == Lag(new=0, pending=0, waiting=2, parked=0, exact=True)
    assert letters.fail(events[0], "no")  # its second failure
    letters.ack(events[1:])
    assert letters.lag() == Lag(0, 0, 0, 1, exact=True)


def test_entry_that_is_not_an_event_is_parked(store: EventStore) -> None:
    (event,) = fill(store, 1)
    bad = [
        store.redis.xadd(store.category, fields).decode() for fields in ({"event": "{"}, {"x": "y"})
    ]
    more = fill(store, 1)
    letters = subscribe(store)
    assert letters.receive() == [event, *more]
    assert [(p.position, p.event, p.error[:12]) for p in letters.parked()] == [
        (b, None, "CorruptEvent") for b in bad
    ]
    assert letters.receive() == []
    assert letters.lag().pending == 2


def rename(event: Recorded) -> Recorded:
    return Recorded(event.id, event.version, "withdrawn", event.data, event.position, event.meta)


def test_upcasters_apply_to_delivered_and_to_parked_events(
    store: EventStore,
) -> None:
    upcasting = EventStore(store.redis, store.category, upcasters=[rename])
    (event,) = fill(store, 1)
    letters = subscribe(upcasting, max_failures=1)
    assert letters.receive() == [rename(event)]
    letters.fail(event, "no")
    assert [p.event for p in letters.parked()] == [rename(event)]
    store.redis.xtrim(store.category, maxlen=0, approximate=False)
    assert [p.event for p in letters.parked()] == [rename(event)]
    letters.replay()
    assert letters.receive() == [rename(event)]


def test_event_that_an_upcaster_fails_on_is_parked(store: EventStore) -> None:
    def chokes(event: Recorded) -> Recorded:
        return event if event.version != 2 else event.data["nothing"]

    events = fill(store, 3)
    letters = subscribe(EventStore(store.redis, store.category, upcasters=[chokes]))
    assert letters.receive() == [events[0], events[2]]
    assert [(p.event, p.error) for p in letters.parked()] == [(events[1], "KeyError: 'nothing'")]
    fixed = subscribe(store, "fixed")
    fixed.replay()
    assert fixed.receive() == [events[1]]
