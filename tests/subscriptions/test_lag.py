"""The lag counts unfinished events."""

from __future__ import annotations

import pytest

from eventlab import EventStore
from eventlab.subscriptions import subscription as module
from eventlab.subscriptions.subscription import Lag
from tests.subscriptions.support import fill, subscribe


def test_lag_is_right_where_redis_loses_count(store: EventStore) -> None:
    events = fill(store, 6)
    letters = subscribe(store)
    letters.receive(2)
    store.redis.xdel(store.category, events[4].position)
    (group,) = store.redis.xinfo_groups(store.category)
    assert group["lag"] is None
    assert letters.lag() == Lag(new=3, pending=2, waiting=0, parked=0, exact=True)
    assert letters.lag().events == 5


def test_long_lag_is_an_estimate_where_redis_loses_count(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_COUNTED_EVENTS", 5)
    events = fill(store, 20)
    letters = subscribe(store)
    letters.receive(4)
    assert letters.lag() == Lag(new=16, pending=4, waiting=0, parked=0, exact=True)
    store.redis.xdel(store.category, events[10].position)
    lag = letters.lag()
    assert (lag.exact, lag.new >= 15) == (False, True)
    letters.receive(11)
    assert letters.lag() == Lag(new=4, pending=15, waiting=0, parked=0, exact=True)


def test_lag_is_exact_from_the_middle_of_the_stream(store: EventStore) -> None:
    events = fill(store, 700)
    letters = subscribe(store, start=events[99].position)
    assert letters.lag() == Lag(new=600, pending=0, waiting=0, parked=0, exact=True)
    store.redis.xtrim(store.category, minid=events[199].position, approximate=False)
    assert letters.lag().new == 501
