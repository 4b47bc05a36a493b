"""Touch: work that takes longer than ``claim_after`` is not given to another consumer."""

from __future__ import annotations

import pytest

from eventlab import EventStore, SubscriptionLost
from tests.subscriptions.support import LONG, fill, let_die, pending, positions, subscribe


def test_event_that_is_touched_does_not_count_as_abandoned(store: EventStore) -> None:
    fill(store, 2)
    one = subscribe(store, claim_after=LONG)
    [slow, left] = one.receive()
    let_die(store, "one", 2 * LONG)
    assert one.touch([slow]) == 1
    two = subscribe(store, "two", claim_after=LONG)
    assert positions(two.receive()) == [left.position]
    assert pending(store) == {slow.position: ("one", 1), left.position: ("two", 2)}
    assert one.touch([slow, left]) == 1  # the other one is not ours any more
    assert pending(store) == {slow.position: ("one", 1), left.position: ("two", 2)}
    assert one.receive() == []


def test_touch_holds_an_event_for_its_own_consumer_too(store: EventStore) -> None:
    fill(store, 1)
    one = subscribe(store, claim_after=LONG)
    [event] = one.receive()
    one._held[event.position] -= LONG - 1  # almost over
    before = one._held[event.position]
    assert one.touch([event]) == 1
    assert one._held[event.position] > before
    one.ack([event])
    assert one.touch([event]) == 0
    assert event.position not in one._held
    assert one.touch([]) == 0


def test_touch_keeps_an_event_whose_entry_was_deleted(store: EventStore) -> None:
    fill(store, 1)
    one = subscribe(store)
    [event] = one.receive()
    store.redis.xdel(store.category, event.position)
    assert one.touch([event]) == 1
    assert pending(store) == {event.position: ("one", 1)}


def test_touch_says_that_the_subscription_is_lost(store: EventStore) -> None:
    [event] = fill(store, 1)
    one = subscribe(store)
    store.forget_group("letters")
    with pytest.raises(SubscriptionLost):
        one.touch([event])
