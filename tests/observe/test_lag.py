"""The lag of views and subscriptions, read without changing anything."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from eventlab import Changes, EventStore, JoinedProjector, Projector, Recorded, Subscription
from eventlab.accounts import AccountView
from eventlab.observe.lag import (
    MaxLag,
    ViewState,
    appended,
    problems_of,
    subscriptions_of,
    view_states,
    views_of,
)
from eventlab.store.slices import slice_number
from tests.support.store import append_deposits, contents, fill
from tests.support.waiting import wait_until


def test_view_states_find_the_views_of_a_category(store: EventStore, mongo: Any) -> None:
    fill(store, 2)
    with Projector(store, mongo, AccountView(store.category)) as projector:
        projector.catch_up()
    at = store.head()
    append_deposits(store, "a", 3)
    [state] = view_states(views_of(store, mongo))
    assert (state.view, state.position, state.events, state.error) == (store.category, at, 3, "")
    assert views_of(EventStore(store.redis, f"{store.category}_other"), mongo) == []


def test_view_states_find_a_view_over_slices(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    store = EventStore(redis_client, category, slices=64)
    for number in range(20):
        fill(store, 1, id=f"account-{number}")
    with Projector(store, mongo, AccountView(category)) as projector:
        projector.catch_up()
    for number in range(3):
        append_deposits(store, f"account-{number}", 2)
    [state] = view_states(views_of(store, mongo))
    assert (state.view, state.events, state.error) == (category, 6, "")


class Deposits:
    """One document per aggregate of two categories: the number of its events."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes, category: str) -> None:
        changes[event.id].inc("events", 1)


def test_view_states_find_a_joined_view_in_each_of_its_categories(
    store: EventStore, mongo: Any
) -> None:
    other = EventStore(store.redis, f"{store.category}-other")
    with JoinedProjector([store, other], mongo, Deposits(store.category)) as projector:
        fill(store, 2)
        fill(other, 1)
        projector.catch_up()
        fill(other, 2, id="b")
        append_deposits(store, "a", 1)
        for one in (store, other):
            [state] = view_states(views_of(one, mongo))
            assert (state.view, state.events, state.error) == (store.category, 4, "")
            assert {name: lag.events for name, lag in state.categories} == {
                store.category: 1,
                other.category: 3,
            }
            assert state.seconds == max(lag.seconds for _, lag in state.categories)
        assert (
            MaxLag(0, -1).exceeded([state])[0].partition(";")[0].endswith(f"3 of {other.category})")
        )
        assert views_of(EventStore(store.redis, store.category[:-1]), mongo) == []
        mongo.projections.update_one({"_id": store.category}, {"$set": {"parts.0.position": ""}})
        [state] = view_states(views_of(other, mongo))
        assert (state.events, state.categories) == (0, ())
        assert "has documents but no checkpoint" in state.error
        assert state.follows == f"{store.category} + {other.category}"
        projector.reset()


def test_view_states_tell_a_plus_sign_in_a_name_from_two_categories(
    store: EventStore, mongo: Any
) -> None:
    a, b, c = (f"{store.category}-{letter}" for letter in "abc")
    names = {"one": [f"{a} + {b}", c], "other": [a, f"{b} + {c}"]}
    projectors = {
        kind: JoinedProjector(
            [EventStore(store.redis, category) for category in categories],
            mongo,
            Deposits(f"{store.category}-{kind}"),
        )
        for kind, categories in names.items()
    }
    for projector in projectors.values():
        for follower in projector._parts:
            fill(follower.store, 1)
        projector.catch_up()
    for kind, categories in names.items():
        for category in categories:
            [state] = view_states(views_of(EventStore(store.redis, category), mongo))
            assert (state.view, state.error) == (projectors[kind].name, "")
            assert [name for name, _ in state.categories] == categories
    assert views_of(EventStore(store.redis, b), mongo) == []
    # As an earlier release left it: the next batch records the names.
    mongo.projections.update_one({"_id": projectors["one"].name}, {"$unset": {"categories": 1}})
    assert views_of(EventStore(store.redis, c), mongo) == []
    fill(EventStore(store.redis, c), 1, id="b")
    assert projectors["one"].run_once() == 2
    assert len(views_of(EventStore(store.redis, c), mongo)) == 1
    for projector in projectors.values():
        projector.reset()


def test_view_states_leave_out_the_documents_of_a_rebuild(store: EventStore, mongo: Any) -> None:
    name = f"{store.category}.rebuild-0123abcd"
    document = {"_id": name, "category": store.category, "position": "0-0"}
    mongo.projections.insert_one(document)
    try:
        assert views_of(store, mongo) == []
    finally:
        mongo.projections.delete_one({"_id": name})


def test_view_states_name_a_view_that_cannot_follow(store: EventStore, mongo: Any) -> None:
    fill(store, 2)
    with Projector(store, mongo, AccountView(store.category)) as projector:
        projector.catch_up()
        mongo.projections.update_one({"_id": store.category}, {"$set": {"version": 9}})
        [state] = view_states([projector])
    assert "version 9" in state.error
    assert problems_of([state], None) == [state.error]


@pytest.mark.parametrize(
    ("events", "seconds", "is_late"), [(10, 61, False), (11, 60, False), (11, 61, True)]
)
def test_max_lag_is_exceeded_by_too_many_events_for_too_long(
    events: int, seconds: float, is_late: bool
) -> None:
    state = ViewState("v", events=events, seconds=seconds)
    assert bool(MaxLag(10, 60).exceeded([state])) is is_late


def test_subscriptions_are_listed_without_the_groups_of_views(
    store: EventStore, mongo: Any
) -> None:
    assert subscriptions_of(store) == []
    fill(store, 2)
    with Projector(store, mongo, AccountView(store.category)) as projector:
        projector.catch_up()
    letters = Subscription(store, "letters", consumer="one")
    Subscription(store, "audit", consumer="one", start="$")
    letters.receive(1)
    found = {subscription.name: subscription.lag() for subscription in subscriptions_of(store)}
    assert list(found) == ["audit", "letters"]
    assert (found["letters"].new, found["letters"].pending, found["audit"].events) == (2, 1, 0)


def test_subscriptions_of_slices_have_a_sum_and_a_worst_slice(
    redis_client: redis.Redis, category: str
) -> None:
    store = EventStore(redis_client, category, slices=64)
    for number in range(20):
        fill(store, 1, id=f"account-{number}")
    letters = Subscription(store, "letters", consumer="one", max_failures=1)
    assert letters.fail(letters.receive(3)[0], "no such street")
    append_deposits(store, "account-7", 20)
    [found] = subscriptions_of(store)
    state = found.state()
    assert (found.name, state.lost) == ("letters", 0)
    assert state.lag == found.lag() == letters.lag()
    assert (state.lag.events, state.lag.pending, state.lag.parked) == (59, 2, 1)
    assert state.worst_slice == slice_number("account-7")
    assert state.worst.events >= 22
    store.slice_of("account-3").forget_group("letters")
    [found] = subscriptions_of(store)
    assert found.state().lost == 1


def test_appended_counts_trimmed_events_too(store: EventStore) -> None:
    assert appended(store) == 0
    fill(store, 3)
    store.trim(before=store.head())
    assert appended(store) == 4


def test_appended_counts_the_events_of_all_slices(redis_client: redis.Redis, category: str) -> None:
    store = EventStore(redis_client, category, slices=64)
    for number in range(5):
        fill(store, 1, id=f"account-{number}")
    assert appended(store) == 10


def test_key_that_is_no_stream_is_not_taken_for_an_empty_category(store: EventStore) -> None:
    assert (appended(store), subscriptions_of(store)) == (0, [])
    store.redis.set(store.keys.stream, "x")
    for ask in (appended, subscriptions_of):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            ask(store)


def test_reading_the_lag_changes_neither_redis_nor_mongodb(store: EventStore, mongo: Any) -> None:
    fill(store, 3)
    with Projector(store, mongo, AccountView(store.category)) as projector:
        projector.catch_up()
    letters = Subscription(store, "letters", consumer="one")
    wait_until(letters.receive)
    before = contents(store)
    documents = list(mongo.projections.find({"category": store.category}))
    view_states(views_of(store, mongo))
    assert [one.lag().pending for one in subscriptions_of(store)] == [4]
    assert contents(store) == before
    assert list(mongo.projections.find({"category": store.category})) == documents
