"""A subscription is created: its options, its start, its group and its keys."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from eventlab import EventStore, InvalidArgument, Trimmed
from eventlab.subscriptions.group import WAITING
from eventlab.subscriptions.subscription import Subscription
from tests.subscriptions.support import fill, subscribe


def test_group_has_the_subscriptions_name_and_starts_where_it_should(
    store: EventStore,
) -> None:
    events = fill(store, 3)
    assert Subscription(store, "all", consumer="x").receive() == events
    assert (
        Subscription(store, "rest", consumer="x", start=events[0].position).receive() == events[1:]
    )
    later_only = Subscription(store, "later", consumer="x", start="$")
    later = fill(store, 1)
    assert later_only.receive() == later
    assert (
        Subscription(store, "later", consumer="x", start="0").receive() == later
    )  # an existing group keeps its start
    assert {g["name"] for g in store.redis.xinfo_groups(store.category)} == {
        b"all",
        b"rest",
        b"later",
    }


def test_subscription_rejects_a_start_in_the_trimmed_part(store: EventStore) -> None:
    events = fill(store, 4)
    store.trim(before=events[2].position)
    with pytest.raises(Trimmed):
        subscribe(store)
    assert store.redis.xinfo_groups(store.category) == []  # so it can be tried again
    assert subscribe(store, start=events[1].position).receive() == events[2:]


@pytest.mark.parametrize(
    "wrong",
    [
        {"consumer": ""},
        {"consumer": WAITING},
        {"consumer": "x", "start": "now"},
        {"consumer": "x", "claim_after": 0},
        {"consumer": "x", "backoff": -1},
        {"consumer": "x", "max_failures": 0},
        {"consumer": "x", "max_deliveries": 2},
    ],
)
def test_subscription_rejects_options_out_of_range(
    store: EventStore, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument):
        Subscription(store, "letters", **wrong)
    with pytest.raises(InvalidArgument):
        Subscription(store, "", consumer="x")
    for count, block in ((0, None), (1, -1)):
        with pytest.raises(InvalidArgument):
            subscribe(store).receive(count, block=block)
    assert store.redis.xlen(store.category) == 0


def test_every_key_is_in_the_categorys_slot_and_is_dropped_with_it(store: EventStore) -> None:
    fill(store, 1)
    fill(store, 1, "b")
    letters = subscribe(store, max_failures=2, ordered=True)
    first, second = letters.receive()
    letters.fail(first, "no", outage=True)
    subscribe(store, max_failures=1).fail(second, "no")
    keys = list(store.redis.scan_iter(match=f"*{store.category}*"))
    assert set(store.keys.subscription("letters")) < set(keys)
    assert {redis.cluster.key_slot(key) for key in keys} == {
        redis.cluster.key_slot(store.category.encode())
    }
    store.drop()
    assert list(store.redis.scan_iter(match=f"*{store.category}*")) == []
