"""A lost group, or events that a failover lost: an error says how to start again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from eventlab import Event, EventStore, SubscriptionLost
from tests.subscriptions.support import SHORT, fill, positions, subscribe
from tests.support.store import deposits
from tests.support.waiting import wait_until

LOSSES: list[Callable[[EventStore], object]] = [
    lambda store: store.forget_group("letters"),
    lambda store: store.redis.xgroup_destroy(store.category, "letters"),
    lambda store: store.redis.delete(store.category),
    EventStore.drop,
]


@pytest.mark.parametrize("lose", LOSSES, ids=["forgotten", "destroyed", "deleted", "dropped"])
def test_every_call_says_that_the_group_is_lost(
    store: EventStore, lose: Callable[[EventStore], object]
) -> None:
    events = fill(store, 3)
    letters = subscribe(store, max_failures=1)
    first, second, _ = letters.receive()
    letters.fail(first, "no")
    lose(store)
    for call in (
        letters.receive,
        lambda: letters.receive(block=1),
        lambda: letters.ack([second]),
        lambda: letters.fail(second, "no"),
        letters.lag,
        letters.close,
        letters.parked,
        letters.replay,
        lambda: letters.replay(first.position),
        letters.discard,
        lambda: letters.discard(first.position),
    ):
        with pytest.raises(SubscriptionLost, match=r"'letters' has lost .* start=") as lost:
            call()
        assert lost.value.name == "letters"
    if store.redis.exists(store.category):
        assert store.redis.xinfo_groups(store.category) == []
        again = subscribe(store, start=events[0].position)
        assert positions(again.receive()) == positions(events[1:])
    else:
        assert subscribe(store).receive() == []


def lose_newest(store: EventStore, clock: list[int]) -> None:
    """Do what a failover does: the newest event is gone, and the group is as old as the stream."""
    event = list(store.read_all())[-1]
    store.redis.xdel(store.category, event.position)
    store.redis.rpop(store.keys.log("a"))


def replace_newest(store: EventStore, clock: list[int]) -> None:
    """The new master gives the position of a lost event to another one, in the same millisecond."""
    kept = list(store.read_all())[:-1]
    store.drop()
    clock[0] = 5000
    for event in kept:
        store.append("a", [Event(event.type, event.data)], expected=event.version - 1)
    store.append("a", deposits(77), expected=len(kept))


@pytest.mark.parametrize("lose", [lose_newest, replace_newest], ids=["lost", "replaced"])
def test_event_that_a_failover_lost_is_named(
    redis_client: redis.Redis, category: str, lose: Callable[[EventStore, list[int]], None]
) -> None:
    clock = [5000]
    store = EventStore(redis_client, category, clock=lambda: clock[0])
    for event in range(1, 4):
        store.append("a", deposits(event), expected=event - 1)
    letters = subscribe(store, claim_after=SHORT)
    received = letters.receive()
    letters.ack(received)
    assert letters.receive() == []
    lose(store, clock)
    if lose is replace_newest:
        store.redis.xgroup_create(store.category, "letters", received[1].position)
        assert [event.position for event in store.read_all()] == positions(received)
    else:
        clock[0] = 6000
        store.append("a", deposits(78), expected=2)

    def told() -> SubscriptionLost | None:
        try:
            letters.receive()
        except SubscriptionLost as lost:
            return lost
        return None

    lost = wait_until(told)
    assert (lost.name, lost.position) == ("letters", received[-1].position)
    assert "start=" not in str(lost)
    with pytest.raises(SubscriptionLost, match="no longer in the stream"):
        letters.receive(block=1)


def test_newest_event_may_be_trimmed_or_deleted_by_hand(store: EventStore) -> None:
    events = fill(store, 3)
    letters = subscribe(store, claim_after=SHORT)
    letters.ack(letters.receive())
    store.redis.xdel(store.category, events[-1].position)
    assert letters.receive(block=3 * SHORT) == []
    more = fill(store, 1, "b")
    assert store.trim(before=more[0].position) == 2
    assert letters.receive(block=3 * SHORT) == more
