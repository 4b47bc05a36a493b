"""A consumer group that is gone is an error that says so; nothing creates it again in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventlab import EventStore, SubscriptionLost
from tests.subscriptions.support import fill, positions, subscribe

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
