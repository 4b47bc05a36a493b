"""``run``: the loop that receives, handles and acknowledges events, and how it handles failures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from eventlab import (
    NEW,
    Event,
    EventStore,
    InvalidArgument,
    Misconfigured,
    Recorded,
    Subscription,
    SubscriptionLost,
)
from eventlab.subscriptions.group import WAITING
from eventlab.subscriptions.records import Lag
from tests.subscriptions.support import (
    LONG,
    SHORT,
    fill,
    let_pause_end,
    make_due,
    pending,
    positions,
    subscribe,
)
from tests.subscriptions.test_outages import (
    full,
    good_again,
    limited,
    replica,
    server_store,
    without_replicas,
)
from tests.support.crash_servers import redis_server
from tests.support.waiting import wait_until

__all__ = ["limited", "redis_server", "server_store"]  # fixtures

DONE = Lag(new=0, pending=0, waiting=0, parked=0, exact=True)


class Handler:
    """A handler that records its events, and sets ``stop`` after the ``last`` of them."""

    def __init__(self, last: int, fail: Callable[[Recorded], object] = lambda event: None) -> None:
        self.events: list[Recorded] = []
        self.stop = threading.Event()
        self._last = last
        self._fail = fail

    def __call__(self, event: Recorded) -> None:
        self.events.append(event)
        if len(self.events) == self._last:
            self.stop.set()
        self._fail(event)


class Down(Exception):
    """The other system does not answer."""


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(each.levelname, each.message) for each in caplog.records]


def test_run_handles_and_acknowledges_each_event(store: EventStore) -> None:
    events = fill(store, 25)
    letters = subscribe(store, claim_after=LONG)
    handle = Handler(last=25)
    assert letters.run(handle, handle.stop, poll_interval=SHORT) == 25
    assert handle.events == events
    assert letters.lag() == DONE
    assert letters.run(handle, handle.stop) == 0  # stopped already


def test_run_gives_appended_events_their_cause(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store)
    handle = Handler(1, lambda event: store.append("letter", [Event("sent")], expected=NEW))
    letters.run(handle, handle.stop)
    cause = f"{store.category}/a/1"
    assert store.read("letter")[0].meta == {"correlation_id": cause, "causation_id": cause}
    assert store.append("b", [Event("later")], expected=NEW)[0].meta is None
    assert handle.events == [event]


def test_run_retries_an_event_that_fails_then_parks_it(
    store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    events = fill(store, 3)

    def reject_second(event: Recorded) -> None:
        if event == events[1]:
            raise ValueError("the secret words of a mail")

    letters = subscribe(store, max_failures=2, backoff=SHORT)
    handle = Handler(4, reject_second)
    assert letters.run(handle, handle.stop, poll_interval=SHORT) == 2
    assert handle.events == [*events, events[1]]
    (parked,) = letters.parked()
    assert (parked.event, parked.error) == (events[1], "ValueError: the secret words of a mail")
    assert lines(caplog) == [
        ("WARNING", "subscription letters: ValueError at 'a' version 2: will be retried"),
        ("ERROR", "subscription letters: ValueError at 'a' version 2: parked"),
    ]


@pytest.mark.parametrize("error", [Down("secret"), redis.ConnectionError("refused")])
def test_run_pauses_in_an_outage_and_parks_nothing(
    store: EventStore, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.INFO)
    events = fill(store, 3)
    failures = 4

    def answer(event: Recorded) -> None:
        let_pause_end(store)  # of the outage before this one
        if len(handle.events) <= failures:
            raise error

    letters = subscribe(store, max_failures=1, max_deliveries=3, backoff=0.001, claim_after=LONG)
    handle = Handler(failures + 3, answer)
    assert letters.run(handle, handle.stop, outage_errors=(Down,), poll_interval=SHORT) == 3
    assert sorted(handle.events[failures:], key=lambda event: event.version) == events
    assert letters.lag() == DONE
    assert lines(caplog) == [
        ("WARNING", f"subscription letters: paused by {type(error).__name__} at 'a' version 1"),
        ("INFO", "subscription letters: resumed"),
    ]


def test_pause_of_run_hands_the_rest_of_the_batch_to_any_consumer(store: EventStore) -> None:
    events = fill(store, 3)
    letters = subscribe(store, claim_after=LONG, backoff=LONG)

    def answer(event: Recorded) -> None:
        raise Down

    handle = Handler(1, answer)
    assert letters.run(handle, handle.stop, outage_errors=(Down,)) == 0
    assert pending(store) == dict.fromkeys(positions(events), (WAITING, 0))
    assert letters.lag().paused


def test_run_finishes_the_event_in_work_when_it_is_stopped(store: EventStore) -> None:
    events = fill(store, 5)
    letters = subscribe(store, claim_after=LONG)
    handle = Handler(2)
    assert letters.run(handle, handle.stop) == 2
    assert handle.events == events[:2]
    assert letters.close()  # it holds nothing
    assert subscribe(store, "two").receive() == events[2:]


def test_interrupted_run_hands_back_the_events_behind(store: EventStore) -> None:
    events = fill(store, 3)
    letters = subscribe(store, claim_after=LONG)

    def interrupt(event: Recorded) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        letters.run(interrupt, threading.Event())
    # An event that ends its consumer each time must be parked some day: this delivery counts.
    assert pending(store) == {
        events[0].position: ("one", 1),
        **dict.fromkeys(positions(events[1:]), (WAITING, 0)),
    }


def test_run_leaves_events_to_the_consumer_that_claimed_them(store: EventStore) -> None:
    events = fill(store, 3)
    quick = subscribe(store, "quick", claim_after=SHORT)
    claimed: list[Recorded] = []
    more: list[Recorded] = []

    class Slow(Subscription):
        def touch(self, events: Sequence[Recorded]) -> int:
            held = super().touch(events)
            # Not before, and at once: soon, slow may claim what quick still holds.
            quick.ack([event for event in claimed if event in events])
            return held

    def work_slowly(event: Recorded) -> None:
        if event != events[0]:
            return
        while not {*positions(claimed)} >= {*positions(events[1:])}:
            claimed.extend(wait_until(quick.receive))
        more.extend(fill(store, 1))

    handle = Handler(2, work_slowly)
    slow = Slow(store, "letters", consumer="slow", claim_after=SHORT)
    assert slow.run(handle, handle.stop, poll_interval=SHORT) == 2
    assert handle.events == [events[0], *more]


def test_run_touches_the_events_behind_a_slow_one(store: EventStore) -> None:
    fill(store, 3)
    touched: list[int] = []

    class Recording(Subscription):
        def touch(self, events: object) -> int:
            (event,) = events  # type: ignore[misc, attr-defined]
            touched.append(event.version)
            return super().touch([event])

    letters = Recording(store, "letters", consumer="one", claim_after=1e-6)
    handle = Handler(3)
    assert letters.run(handle, handle.stop) == 3
    assert touched[-3:] == [2, 3, 3]  # before the second event, and before the third


def test_touch_postpones_an_event_without_an_entry(store: EventStore) -> None:
    letters = subscribe(store, max_failures=1, claim_after=LONG)
    events = fill(store, 1)
    letters.fail(*letters.receive(), "no")
    more = fill(store, 1)
    letters.ack(letters.receive())
    store.redis.xtrim(store.category, minid=more[0].position, approximate=False)
    letters.replay()
    assert letters.receive() == events
    make_due(store, events)  # as if claim_after were nearly over
    assert letters.touch(events) == 1
    assert subscribe(store, "two").receive() == []
    letters.ack(events)
    assert letters.touch(events) == 0


@pytest.mark.parametrize("fault", [replica, without_replicas, full])
def test_run_waits_while_redis_is_unavailable_and_says_so_once(
    server_store: EventStore,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[redis.Redis], None],
) -> None:
    caplog.set_level(logging.INFO)
    client = server_store.redis
    fill(server_store, 2)
    letters = subscribe(server_store, max_failures=1, claim_after=LONG)

    class Wait(threading.Event):
        """A stop event that records how often the loop waited for Redis, and ends the outage."""

        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            if self.waits == 5:
                good_again(client)
            return self.is_set()

    stop = Wait()

    def handle(event: Recorded) -> None:
        if event.version == 1:
            fault(client)
            raise ValueError  # so that a full Redis has something to reject, too
        stop.set()

    assert letters.run(handle, stop, poll_interval=SHORT) == 1
    assert stop.waits == 5
    assert [parked.event and parked.event.version for parked in letters.parked()] == [1]
    texts = [text for _, text in lines(caplog)]
    assert [text for text in texts if "unavailable" in text] == texts[:1]
    assert texts[1] == "subscription letters: Redis is available again"


def test_run_ends_with_an_error_when_its_group_is_lost(store: EventStore) -> None:
    fill(store, 2)
    letters = subscribe(store)
    with pytest.raises(SubscriptionLost, match="start="):
        letters.run(lambda event: store.forget_group("letters"), threading.Event())


def test_run_ends_when_redis_denies_a_permission(
    store: EventStore, limited: Callable[[str], EventStore]
) -> None:
    fill(store, 2)
    subscribe(store)
    weak = subscribe(limited("xreadgroup"))
    with pytest.raises(Misconfigured, match="XREADGROUP"):
        weak.run(lambda event: None, threading.Event())


def test_run_rejects_what_are_no_exceptions(store: EventStore) -> None:
    with pytest.raises(InvalidArgument, match="outage_errors"):
        subscribe(store).run(print, threading.Event(), outage_errors=("Down",))  # type: ignore[arg-type]


def test_consumers_that_run_an_ordered_subscription_keep_the_order(store: EventStore) -> None:
    for _ in range(20):
        for id in "abc":
            fill(store, 1, id)
    seen: list[Recorded] = []
    stop = threading.Event()

    def handle(event: Recorded) -> None:
        if event.version % 7 == 0 and seen.count(event) == 0:
            seen.append(event)
            raise ValueError
        seen.append(event)
        if {(each.id, each.version) for each in seen} >= {(id, 20) for id in "abc"}:
            stop.set()

    def consume(name: str) -> int:
        letters = subscribe(store, name, ordered=True, backoff=0.001, claim_after=LONG)
        return letters.run(handle, stop, poll_interval=SHORT, batch_size=2)

    with ThreadPoolExecutor() as pool:
        handled = list(pool.map(consume, ["one", "two", "three"]))
    assert sum(handled) == 60
    for id in "abc":
        versions = [each.version for each in seen if each.id == id]
        expected = [n for version in range(1, 21) for n in [version] * (1 + (version % 7 == 0))]
        assert versions == expected
