"""A subscription to a category in 64 slices."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict

import pytest
import redis

from eventlab import EventStore, InvalidArgument, Recorded, Subscription, SubscriptionLost
from eventlab.store.slices import slice_number
from tests.subscriptions.support import LONG
from tests.support.store import deposits, fill
from tests.support.waiting import wait_until

IDS = [f"account{number}" for number in range(100)]


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    store = EventStore(redis_client, category, slices=64)
    for id in IDS:
        fill(store, 2, id)
    return store


@pytest.fixture
def letters(store: EventStore) -> Subscription:
    return Subscription(store, "letters", consumer="c", max_failures=1, backoff=0.01)


def drain(letters: Subscription, count: int = 7) -> list[Recorded]:
    found: list[Recorded] = []
    while events := letters.receive(count):
        found += events
        letters.ack(events)
    return found


def test_every_event_is_delivered_once_and_each_aggregate_in_order(letters: Subscription) -> None:
    assert letters.lag().new == 3 * len(IDS)
    found = drain(letters)
    assert Counter((event.id, event.version) for event in found) == Counter(
        (id, version) for id in IDS for version in (1, 2, 3)
    )
    versions = defaultdict(list)
    for event in found:
        versions[event.id].append(event.version)
    assert all(each == [1, 2, 3] for each in versions.values())
    assert letters.lag().events == 0
    assert letters.close()


def test_no_slice_starves_another(store: EventStore, letters: Subscription) -> None:
    drain(letters)
    store.append("account1", deposits(*[1] * 500), expected=3)
    store.append("account2", deposits(1), expected=3)
    store.append("account3", deposits(1), expected=3)
    seen: set[str] = set()
    for _ in range(3):
        events = letters.receive(10)
        assert len(events) == 10
        seen |= {event.id for event in events}
        letters.ack(events)
    assert seen == {"account1", "account2", "account3"}


def test_failed_events_are_parked_replayed_and_discarded(letters: Subscription) -> None:
    events = letters.receive(3 * len(IDS))
    assert len(events) == 3 * len(IDS)
    assert letters.touch(events) == len(events)
    assert all(letters.fail(event, ValueError("no such street")) for event in events[:5])
    letters.hand_back(events[5:7])
    letters.ack(events[7:])
    parked = [(each.event.id, each.event.version) for each in letters.parked() if each.event]
    assert sorted(parked) == sorted((event.id, event.version) for event in events[:5])
    lag = letters.lag()
    assert (lag.parked, lag.events, lag.exact) == (5, 2, True)
    assert letters.replay(events[0].position) >= 1
    assert letters.discard() >= 1
    assert letters.parked() == []
    drain(letters)
    assert letters.lag().events == 0


def test_receive_waits_for_an_event_of_any_slice(store: EventStore, letters: Subscription) -> None:
    drain(letters)
    assert letters.receive(block=0.01) == []
    writer = threading.Timer(0.05, fill, (store, 1, "new"))
    writer.start()
    found: list[Recorded] = []
    while len(found) < 2:
        found += letters.receive(block=60)
    writer.join()
    assert [(event.id, event.version) for event in found] == [("new", 1), ("new", 2)]
    with pytest.raises(InvalidArgument):
        letters.receive(0)
    with pytest.raises(InvalidArgument):
        letters.receive(block=-1)


def test_consumers_share_the_events_and_run_handles_them(store: EventStore) -> None:
    stop = threading.Event()
    handled: list[tuple[str, int]] = []

    def consume(name: str) -> None:
        letters = Subscription(store, "letters", consumer=name, ordered=True)
        letters.run(lambda event: handled.append((event.id, event.version)), stop)

    threads = [threading.Thread(target=consume, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(handled) >= 3 * len(IDS))
    stop.set()
    for thread in threads:
        thread.join()
    assert Counter(handled) == Counter((id, version) for id in IDS for version in (1, 2, 3))
    for id in IDS:
        assert [version for each, version in handled if each == id] == [1, 2, 3]


def test_outage_pauses_and_parks_nothing(store: EventStore) -> None:
    letters, others = (
        Subscription(store, "letters", consumer=name, max_failures=1, backoff=LONG)
        for name in ("c", "d")
    )
    [event] = letters.receive(1)
    assert not letters.fail(event, ConnectionError("no answer"), outage=True)
    assert letters.receive(10) == []  # no slice is asked
    paused = store.slice_of(event.id)
    found = drain(others)
    assert {each.id for each in found} == {id for id in IDS if store.slice_of(id) is not paused}
    letters._paused_until = 0.0  # type: ignore[attr-defined]
    assert letters.receive(10) == []
    store.redis.hset(paused.keys.subscription("letters")[4], "until", 0)
    found += drain(letters)
    assert event in found
    assert len(found) == 3 * len(IDS)
    assert letters.parked() == []


def test_pause_after_an_outage_ends_by_itself(letters: Subscription) -> None:
    [event] = letters.receive(1)
    assert not letters.fail(event, ConnectionError("no answer"), outage=True)
    found: list[Recorded] = []
    while len(found) < 3 * len(IDS):
        events = letters.receive(100, block=60)
        found += events
        letters.ack(events)
    assert event in found
    assert letters.parked() == []


def test_subscription_that_lost_a_slice_says_so(store: EventStore, letters: Subscription) -> None:
    drain(letters)
    store.slice_of("account7").forget_group("letters")
    with pytest.raises(SubscriptionLost):
        letters.receive(10)


def test_acknowledgement_for_a_shard_that_is_down_is_sent_later(
    letters: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = letters.receive(10)
    with monkeypatch.context() as patch:

        def down(*_: object) -> None:
            raise redis.ConnectionError("Connection refused")

        patch.setattr("eventlab.subscriptions.group.ConsumerGroup.run", down)
        letters.ack(events)
        assert letters.fail(events[0], "late") is False
        assert letters.touch(events) == 0
        assert letters.receive(10) == []  # it rests, and is not asked
        letters._rests.clear()  # type: ignore[attr-defined]
        letters._next = slice_number(events[0].id)  # type: ignore[attr-defined]
        with pytest.raises(redis.ConnectionError):
            letters.receive(10)
    letters._rests.clear()  # type: ignore[attr-defined]
    rest = drain(letters)
    assert not {(event.id, event.version) for event in rest} & {
        (event.id, event.version) for event in events
    }
    assert letters.lag().events == 0
