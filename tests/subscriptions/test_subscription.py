"""A subscription keeps its promises: at least once, none lost, none held up by another."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from eventlab import ANY, Event, EventStore, InvalidArgument, Recorded, Trimmed, TrimRefused
from eventlab.servers import Lab
from eventlab.subscriptions import subscription as module
from eventlab.subscriptions.subscription import WAITING, Lag, Parked, Subscription
from tests.support.waiting import wait_until

SHORT = 0.02  # seconds, for what a test must wait for
LONG = 3600.0  # for what must not happen in a test


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


def fill(store: EventStore, count: int, id: str = "a") -> list[Recorded]:
    return store.append(
        id, [Event("withdraw", {"amount": n}) for n in range(1, count + 1)], expected=ANY
    )


def subscribe(store: EventStore, consumer: str = "one", **options: Any) -> Subscription:
    """A consumer of the subscription, just started."""
    return Subscription(store, "letters", consumer=consumer, **options)


def pending(store: EventStore) -> dict[str, tuple[str, int]]:
    """What Redis holds pending: position to consumer and deliveries."""
    rows = store.redis.xpending_range(store.category, "letters", "-", "+", 10_000)
    return {r["message_id"].decode(): (r["consumer"].decode(), r["times_delivered"]) for r in rows}


def positions(events: list[Recorded] | list[Parked]) -> list[str]:
    return [event.position for event in events]


def let_die(store: EventStore, consumer: str, seconds: float = 3600) -> None:
    """What a consumer holds was given to it so long ago."""
    held = [position for position, (name, _) in pending(store).items() if name == consumer]
    store.redis.xclaim(
        store.category, "letters", consumer, 0, held, idle=int(seconds * 1000), justid=True
    )


def make_due(store: EventStore, events: list[Recorded]) -> None:
    """The pause of these events is over."""
    store.redis.zadd(store.keys.subscription("letters")[0], dict.fromkeys(positions(events), 0))


def fail_until_parked(subscription: Subscription, error: str = "no") -> None:
    while not subscription.fail(
        *wait_until(subscription.receive), error
    ):  # one event, and its error
        pass


# -------------------------------------------------------------------- handed out


def test_events_are_handed_out_in_commit_order_and_acked_away(store: EventStore) -> None:
    events = fill(store, 5)
    letters = subscribe(store)
    first, rest = letters.receive(2), letters.receive()
    assert first + rest == events
    letters.ack(first)
    assert letters.lag() == Lag(new=0, pending=3, waiting=0, parked=0, exact=True)
    letters.ack(iter(rest))
    letters.ack(rest)  # once more does no harm
    letters.ack([])
    assert (letters.receive(), letters.lag().events, pending(store)) == ([], 0, {})


def test_consumers_compete(store: EventStore) -> None:
    events = fill(store, 40)
    one, two = subscribe(store, "one"), subscribe(store, "two")
    got = [event for _ in range(4) for consumer in (one, two) for event in consumer.receive(5)]
    assert got == events


def test_the_group_has_the_subscription_s_name_and_begins_where_it_is_told(
    store: EventStore,
) -> None:
    events = fill(store, 3)
    assert Subscription(store, "all", consumer="x").receive() == events
    assert (
        Subscription(store, "rest", consumer="x", start=events[0].position).receive() == events[1:]
    )
    news = Subscription(store, "news", consumer="x", start="$")
    later = fill(store, 1)
    assert news.receive() == later
    assert Subscription(store, "news", consumer="x", start="0").receive() == later  # begun is begun
    assert {g["name"] for g in store.redis.xinfo_groups(store.category)} == {
        b"all",
        b"rest",
        b"news",
    }


def test_it_may_be_there_before_the_first_event(store: EventStore) -> None:
    letters = subscribe(store)
    assert (letters.receive(), letters.lag().events) == ([], 0)
    assert letters.receive() == fill(store, 2)[:0]
    assert len(letters.receive()) == 2


def test_who_begins_before_the_trimmed_part_is_told(store: EventStore) -> None:
    events = fill(store, 4)
    store.trim(before=events[2].position)
    with pytest.raises(Trimmed):
        subscribe(store)
    assert store.redis.xinfo_groups(store.category) == []  # and it can be tried again
    assert subscribe(store, start=events[1].position).receive() == events[2:]


def test_a_client_that_decodes_sees_the_same(lab: Lab, store: EventStore) -> None:
    recorded = store.append("é", [Event("ü🐍", {"n": 2**60}, {"by": "x"})], expected=ANY)
    letters = subscribe(EventStore(lab.redis, store.category), max_failures=1)
    assert letters.receive() == recorded
    assert letters.receive(block=SHORT) == []
    assert letters.fail(recorded[0], "né")
    assert [(p.event, p.error) for p in letters.parked()] == [(recorded[0], "né")]
    assert (letters.replay(), letters.receive()) == (1, recorded)
    assert not letters.close()


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
def test_what_cannot_be_is_refused(store: EventStore, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Subscription(store, "letters", **wrong)
    with pytest.raises(InvalidArgument):
        Subscription(store, "", consumer="x")
    for count, block in ((0, None), (1, -1)):
        with pytest.raises(InvalidArgument):
            subscribe(store).receive(count, block=block)
    assert store.redis.xlen(store.category) == 0


# ------------------------------------------------------------ unfinished, reclaimed


def test_a_restarted_consumer_gets_its_own_unfinished_first_and_once(store: EventStore) -> None:
    events = fill(store, 6)
    subscribe(store).receive(2)
    again = subscribe(store)
    assert again.receive(4) == events[:4]
    assert again.receive() == events[4:]
    assert again.receive() == []
    assert [deliveries for _, deliveries in pending(store).values()] == [2, 2, 1, 1, 1, 1]


def test_what_is_in_work_is_given_to_nobody_else(store: EventStore) -> None:
    fill(store, 2)
    one, two = subscribe(store, "one", claim_after=LONG), subscribe(store, "two", claim_after=LONG)
    assert len(one.receive()) == 2
    assert (one.receive(), two.receive()) == ([], [])
    assert set(pending(store).values()) == {("one", 1)}


def test_a_dead_consumer_s_events_go_to_another(store: EventStore) -> None:
    events = fill(store, 3)
    subscribe(store, "dead").receive(2)
    patient, quick = (
        subscribe(store, "patient", claim_after=LONG),
        subscribe(store, "quick", claim_after=SHORT),
    )
    assert patient.receive() == events[2:]
    patient.ack(events[2:])
    assert wait_until(quick.receive) == events[:2]
    assert set(pending(store).values()) == {("quick", 2)}


def test_what_one_abandons_comes_back_to_oneself(store: EventStore) -> None:
    events = fill(store, 1)
    letters = subscribe(store, claim_after=SHORT)
    assert letters.receive() == events
    assert wait_until(letters.receive) == events  # neither acked nor failed


def test_who_was_taken_for_dead_can_still_finish(store: EventStore) -> None:
    slow, quick = (
        subscribe(store, "slow"),
        subscribe(store, "quick", claim_after=SHORT, max_failures=1),
    )
    (event,) = fill(store, 1)
    slow.receive()
    wait_until(quick.receive)
    slow.ack([event])
    assert not quick.fail(event, "no")  # it is done: nothing waits, nothing is parked
    assert quick.lag() == Lag(0, 0, 0, 0, exact=True)


class LosesAnswers:
    """A client whose next answer to a script is lost after the command was done; redis-py would send it again."""

    def __init__(self, client: redis.Redis) -> None:
        self._client, self.losing = client, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        answer = self._client.execute_command(*args, **options)
        return self._client.execute_command(*args, **options) if self.losing else answer


def test_a_lost_answer_loses_no_event_and_counts_no_failure_twice(store: EventStore) -> None:
    events = fill(store, 3)
    client = LosesAnswers(store.redis)
    letters = subscribe(EventStore(client, store.category), max_failures=2, backoff=SHORT)  # type: ignore[arg-type]
    client.losing = True
    assert letters.receive() == events
    for event in events:
        assert not letters.fail(event, "no")
    client.losing = False
    assert (
        positions(wait_until(lambda: letters.receive() if letters.lag().waiting == 3 else 0)) != []
    )
    assert letters.parked() == []


# --------------------------------------------------------------- none starves another


def prepare_every_kind(store: EventStore, count: int) -> tuple[Subscription, dict[str, str]]:
    """A consumer that could take events of every kind; and of which kind each event is."""
    kinds: dict[str, str] = {}
    for kind in ("own", "due", "dead"):
        kinds |= dict.fromkeys(positions(fill(store, count)), kind)
        holder = subscribe(store, {"own": "one"}.get(kind, kind), backoff=LONG)
        events = holder.receive(count)
        if kind == "due":
            failed = events
            for event in events:
                holder.fail(event, "no")
    kinds |= dict.fromkeys(positions(fill(store, count)), "new")
    make_due(store, failed)
    let_die(store, "dead")
    return subscribe(store), kinds


@pytest.mark.parametrize("count", [8, 10, 100])
def test_every_kind_has_a_share_of_what_is_received(store: EventStore, count: int) -> None:
    letters, kinds = prepare_every_kind(store, 100)
    got = [kinds[position] for position in positions(letters.receive(count))]
    assert len(got) == count
    assert min(Counter(got)[kind] for kind in ("own", "due", "dead", "new")) >= count // 8
    assert got == sorted(got, key=["own", "due", "dead", "new"].index)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_who_takes_few_takes_each_kind_by_turns(store: EventStore, count: int) -> None:
    letters, kinds = prepare_every_kind(store, 20)
    received = [
        [kinds[position] for position in positions(letters.receive(count))] for _ in range(4)
    ]
    assert received[0][0] == "own"
    assert {kind for got in received for kind in got} == {"own", "due", "dead", "new"}


def test_a_share_that_is_not_needed_goes_to_the_others(store: EventStore) -> None:
    letters, kinds = prepare_every_kind(store, 3)
    assert Counter(kinds[p] for p in positions(letters.receive(12))) == {
        "own": 3,
        "due": 3,
        "dead": 3,
        "new": 3,
    }
    fill(store, 10)
    assert len(letters.receive(10)) == 10


def test_events_that_always_fail_do_not_hold_up_new_ones(store: EventStore) -> None:
    letters = subscribe(store, max_failures=1000, backoff=0.0001)
    bad = set(positions(fill(store, 30, "bad")))
    good = set(positions(fill(store, 30, "good")))
    for _ in range(200):
        for event in letters.receive(4):
            if event.position in bad:
                letters.fail(event, "no")
            else:
                letters.ack([event])
                good.discard(event.position)
    assert good == set()


# ------------------------------------------------------------------------- blocking


def test_news_arrives_at_once(store: EventStore) -> None:
    letters = subscribe(store)
    timer = threading.Timer(0.1, fill, (store, 1))
    timer.start()
    begin = time.monotonic()
    assert len(letters.receive(block=60)) == 1
    assert time.monotonic() - begin < 30  # not by the clock
    timer.join()


def test_a_wait_ends_when_an_event_is_due_or_its_consumer_is_taken_for_dead(
    store: EventStore,
) -> None:
    events = fill(store, 2)
    letters = subscribe(store, backoff=0.1, claim_after=30)
    subscribe(store, "dying").receive(1)
    assert letters.receive() == events[1:]
    letters.fail(events[1], "no")
    assert letters.receive(block=60) == events[1:]
    let_die(store, "dying", seconds=29.7)
    assert letters.receive(block=60) == events[:1]


@pytest.mark.parametrize("decode", [True, False])
def test_it_may_block_longer_than_the_client_waits_for_an_answer(
    lab: Lab, category: str, decode: bool
) -> None:
    path = lab.redis.connection_pool.connection_kwargs["path"]
    with redis.Redis(unix_socket_path=path, socket_timeout=0.2, decode_responses=decode) as client:
        letters = subscribe(EventStore(client, category))
        assert letters.receive(block=0.7) == []
        client.xadd(
            category, {b"event": b"\xff"}
        )  # what no client can decode ends the wait like any other
        assert letters.receive(block=0.1) == []
        assert len(letters.parked()) == 1


# --------------------------------------------------------------------- fail, park


def test_a_failed_event_is_given_again_after_a_growing_pause(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, max_failures=20, backoff=10_000)
    due = store.keys.subscription("letters")[0]
    pauses = []
    for _ in range(12):
        assert letters.receive() == [event]
        assert not letters.fail(event, "no")
        now, _ = store.redis.time()
        pauses.append(store.redis.zscore(due, event.position) / 1000 - now)
        assert letters.receive() == []
        make_due(store, [event])
    for number, pause in enumerate(pauses):
        assert pause / (10_000 * 2 ** min(number, 8)) == pytest.approx(1, abs=0.26)
    assert len({round(pause % 1000) for pause in pauses}) > 1  # jittered


def test_past_its_limit_it_is_parked_with_its_error_and_the_rest_flows_on(
    store: EventStore,
) -> None:
    bad, *rest = fill(store, 4)
    letters = subscribe(store, max_failures=3, backoff=SHORT)
    tries, done = 0, []
    while letters.lag().events:
        for event in letters.receive(2, block=1):
            if event == bad:
                tries += 1
                letters.fail(event, ValueError(f"no such street: {tries} \ud800"))
            else:
                letters.ack([event])
                done.append(event)
    assert (tries, done) == (3, rest)
    (parked,) = letters.parked()
    assert (parked.event, parked.position) == (bad, bad.position)
    assert parked.error == "ValueError: no such street: 3 ?"
    assert (parked.failures, parked.deliveries) == (3, 3)
    assert abs(parked.time.timestamp() - store.redis.time()[0]) < 60
    assert (letters.lag(), pending(store)) == (Lag(0, 0, 0, 1, exact=True), {})


def test_a_waiting_event_is_nobody_s_and_any_consumer_takes_it(store: EventStore) -> None:
    (event,) = fill(store, 1)
    one, two = subscribe(store, "one", backoff=SHORT), subscribe(store, "two")
    one.fail(*one.receive(), "no")
    assert pending(store) == {event.position: (WAITING, 1)}
    assert one.lag() == Lag(new=0, pending=0, waiting=1, parked=0, exact=True)
    assert wait_until(two.receive) == [event]
    assert pending(store) == {event.position: ("two", 2)}


def test_what_waits_long_is_not_taken_for_a_dead_consumer_s(store: EventStore) -> None:
    (event,) = fill(store, 1)
    one, two = subscribe(store, "one", backoff=LONG), subscribe(store, "two")
    one.fail(*one.receive(), "no")
    let_die(store, WAITING)
    assert two.receive() == []
    make_due(store, [event])
    assert two.receive() == [event]


def test_a_failure_forgets_nothing_when_it_is_repeated_or_late(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, max_failures=2)
    letters.receive()
    assert not letters.fail(event, "first")
    assert not letters.fail(event, "again")  # it waits: counted once
    assert letters.parked() == []
    once = subscribe(store, max_failures=1)
    make_due(store, [event])
    assert once.receive() == [event]
    assert once.fail(event, "second")
    assert once.fail(event, "again")  # it is parked
    assert [(p.error, p.failures) for p in once.parked()] == [("second", 2)]
    once.ack([event])  # by one that was slow: done is done
    assert once.parked() == []


# ------------------------------------------------------- the event that kills its consumer


def killed_by(
    store: EventStore, killer: Recorded, lives: int, **options: Any
) -> tuple[list[Recorded], Subscription]:
    """Consume until done, in so many lives at most; each ends, without a word, when it gets to the killer."""
    done: list[Recorded] = []
    for _ in range(lives):
        life = subscribe(store, **options)
        while events := life.receive(10):
            for event in events:
                if event == killer:
                    break
                life.ack([event])
                done.append(event)
            else:
                continue
            break
        else:
            break
    return done, subscribe(store, "looks on")


@pytest.mark.parametrize("deliveries", [3, 7, 20])
def test_it_is_parked_after_its_deliveries_and_its_neighbours_are_not(
    store: EventStore, deliveries: int
) -> None:
    before, killer, *rest = fill(store, 25)
    done, letters = killed_by(store, killer, deliveries + 1, max_deliveries=deliveries)
    (parked,) = letters.parked()
    assert (parked.event, parked.failures, parked.deliveries) == (killer, 0, deliveries)
    assert f"delivered {deliveries} times" in parked.error
    assert sorted(done, key=lambda event: event.version) == [before, *rest]
    assert letters.lag().events == 0


def test_an_outage_parks_nothing(store: EventStore) -> None:
    events = fill(store, 30)
    for _ in range(15):  # restarted again and again, nothing done
        subscribe(store).receive(10)
    letters = subscribe(store)
    got: list[Recorded] = []
    while some := letters.receive(10):
        got += some
    assert sorted(got, key=lambda event: event.version) == events
    assert letters.parked() == []


def test_deliveries_that_ended_in_a_failure_are_not_counted_as_deadly(store: EventStore) -> None:
    fill(store, 1)
    letters = subscribe(store, max_failures=10, max_deliveries=3, backoff=0.0001)
    fail_until_parked(letters)
    (parked,) = letters.parked()
    assert (parked.failures, parked.deliveries, parked.error) == (10, 10, "no")


def test_suspects_of_a_dead_consumer_come_alone_too(store: EventStore) -> None:
    events = fill(store, 3)
    for _ in range(2):
        subscribe(store, "dead").receive()
    others = fill(store, 3, "other")
    let_die(store, "dead")
    letters = subscribe(store)
    received = [letters.receive() for _ in range(4)]
    assert sorted(received, key=len) == [*([event] for event in events), others]


def test_suspects_are_not_held_up_by_events_that_always_fail(store: EventStore) -> None:
    suspects = fill(store, 3)
    for _ in range(2):
        subscribe(store, "dead").receive()
    failing = subscribe(store, max_failures=1000)
    bad = fill(store, 20, "bad")
    for event in failing.receive(20):
        failing.fail(event, "no")
    let_die(store, "dead")
    letters = subscribe(store, "two", max_failures=1000)
    got: list[Recorded] = []
    for _ in range(10):
        make_due(store, bad)
        events = letters.receive()
        if events[0] in suspects:
            assert len(events) == 1
            assert pending(store)[events[0].position] == ("two", 3)
            letters.ack(events)
            got += events
        for event in events:
            letters.fail(event, "no")
    assert got == suspects


# ------------------------------------------------------------------ parked: replay, discard


@pytest.fixture
def parking(store: EventStore) -> Iterator[tuple[Subscription, list[Recorded]]]:
    """A subscription with three events parked."""
    letters = subscribe(store, max_failures=1, backoff=0.0001)
    events = fill(store, 3)
    for event in letters.receive():
        assert letters.fail(event, f"no {event.version}")
    return letters, events


@pytest.mark.parametrize("trimmed", [False, True])
def test_parked_events_are_listed_replayed_one_or_all_and_discarded(
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


def test_a_replayed_event_is_counted_anew(store: EventStore) -> None:
    (event,) = fill(store, 1)
    letters = subscribe(store, max_failures=3, backoff=0.0001)
    fail_until_parked(letters)
    letters.replay()
    for last in (False, False, True):
        assert letters.fail(*wait_until(letters.receive), "no") is last
    assert [(p.event, p.failures, p.deliveries) for p in letters.parked()] == [(event, 3, 3)]


def test_a_replayed_event_whose_entry_is_trimmed_is_as_safe_as_any(
    store: EventStore, parking: tuple[Subscription, list[Recorded]]
) -> None:
    _, events = parking
    letters = subscribe(store, max_failures=2)
    store.redis.xtrim(store.category, maxlen=0, approximate=False)
    letters.replay()
    assert letters.receive() == events
    assert letters.receive() == subscribe(store, "two").receive() == []  # in work
    letters.ack(events[:1])
    assert not letters.fail(events[1], "no")
    make_due(store, events[1:2])
    assert letters.receive() == events[1:2]
    assert letters.fail(events[1], "no")
    for life in range(
        2
    ):  # the third is never answered for: it comes again, and in the end it is parked
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


def test_trim_waits_for_what_is_in_work_or_waits_and_not_for_what_is_parked(
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


def test_trim_waits_for_a_replayed_event_again(
    store: EventStore, parking: tuple[Subscription, list[Recorded]]
) -> None:
    letters, events = parking
    letters.replay(events[0].position)
    with pytest.raises(TrimRefused):
        store.trim(before=events[1].position)


# ------------------------------------------------------------- trimmed by others, or unreadable


@pytest.mark.parametrize("reclaimed", [False, True])
def test_an_entry_trimmed_while_pending_is_reported_and_never_handed_out_empty(
    store: EventStore, reclaimed: bool
) -> None:
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
    assert all("lost" in p.error for p in letters.parked())
    assert letters.lag() == Lag(0, 0, 0, 2, exact=True)
    assert letters.replay() == 2  # in vain
    assert (letters.receive(), positions(letters.parked())) == ([], positions(events[:2]))
    assert letters.discard() == 2


def test_an_entry_trimmed_while_it_waits_is_found_in_the_own_log(store: EventStore) -> None:
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


def test_an_entry_that_is_no_event_is_parked_and_the_rest_flows_on(store: EventStore) -> None:
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


def test_upcasters_are_applied_to_what_is_handed_out_and_to_what_is_parked(
    store: EventStore,
) -> None:
    lifting = EventStore(store.redis, store.category, upcasters=[rename])
    (event,) = fill(store, 1)
    letters = subscribe(lifting, max_failures=1)
    assert letters.receive() == [rename(event)]
    letters.fail(event, "no")
    assert [p.event for p in letters.parked()] == [rename(event)]
    store.redis.xtrim(store.category, maxlen=0, approximate=False)
    assert [p.event for p in letters.parked()] == [rename(event)]
    letters.replay()
    assert letters.receive() == [rename(event)]


def test_what_an_upcaster_cannot_lift_is_parked_until_it_is_mended(store: EventStore) -> None:
    def chokes(event: Recorded) -> Recorded:
        return event if event.version != 2 else event.data["nothing"]

    events = fill(store, 3)
    letters = subscribe(EventStore(store.redis, store.category, upcasters=[chokes]))
    assert letters.receive() == [events[0], events[2]]
    assert [(p.event, p.error) for p in letters.parked()] == [(events[1], "KeyError: 'nothing'")]
    mended = subscribe(store, "mended")
    mended.replay()
    assert mended.receive() == [events[1]]


def test_a_server_that_fails_in_between_parks_nothing(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = fill(store, 2)
    letters = subscribe(store, max_failures=1)
    for event in letters.receive():
        letters.fail(event, "no")
    letters.replay()
    store.redis.xtrim(store.category, maxlen=0, approximate=False)

    def down(*args: Any) -> None:
        raise redis.ConnectionError("down")

    with monkeypatch.context() as patch:
        patch.setattr(Subscription, "_stored", down)
        with pytest.raises(redis.ConnectionError):
            letters.receive()
    assert letters.parked() == []
    assert letters.lag().waiting == 2
    make_due(store, events)
    assert letters.receive() == events


# -------------------------------------------------------------------- who comes, who leaves


def consumers(store: EventStore) -> set[str]:
    return {c["name"].decode() for c in store.redis.xinfo_consumers(store.category, "letters")}


def test_a_consumer_leaves_once_it_holds_nothing(store: EventStore) -> None:
    events = fill(store, 2)
    letters = subscribe(store)
    letters.receive()
    letters.ack(events[:1])
    assert not letters.close()
    assert pending(store) == {events[1].position: ("one", 1)}  # nothing is dropped with it
    letters.fail(events[1], "no")
    assert letters.close()
    assert letters.close()
    assert consumers(store) == {WAITING}
    assert list(pending(store)) == [events[1].position]


def test_dead_consumers_are_swept_once_they_hold_nothing(store: EventStore) -> None:
    fill(store, 2)
    holder, done, patient = (
        subscribe(store, name, claim_after=LONG) for name in ("holder", "done", "patient")
    )
    holder.receive(1)
    done.ack(done.receive(1))
    patient.receive()
    assert {"holder", "done"} <= consumers(store)  # neither is quiet for long
    quick = subscribe(store, "quick", claim_after=0.01)
    wait_until(lambda: quick.ack(quick.receive()) or consumers(store) == {"quick"})
    assert quick.lag().events == 0
    fill(store, 1)  # whoever comes back is welcome
    assert len(done.receive()) == 1


def test_a_dead_consumer_that_holds_what_is_not_taken_yet_stays(store: EventStore) -> None:
    events = fill(store, 3)
    subscribe(store, "holder").receive()
    let_die(store, "holder")
    quick = subscribe(store, "quick")
    assert quick.receive(1) == events[:1]
    assert {consumer for consumer, _ in pending(store).values()} == {"holder", "quick"}
    assert "holder" in consumers(store)


# ------------------------------------------------------------------------------- lag


def test_the_lag_is_right_where_redis_loses_count(store: EventStore) -> None:
    events = fill(store, 6)
    letters = subscribe(store)
    letters.receive(2)
    store.redis.xdel(store.category, events[4].position)
    (group,) = store.redis.xinfo_groups(store.category)
    assert group["lag"] is None
    assert letters.lag() == Lag(new=3, pending=2, waiting=0, parked=0, exact=True)
    assert letters.lag().events == 5


def test_a_long_lag_is_said_to_be_an_estimate(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_COUNTED_EVENTS", 5)
    events = fill(store, 20)
    letters = subscribe(store)
    letters.receive(4)
    assert letters.lag() == Lag(new=16, pending=4, waiting=0, parked=0, exact=False)
    store.redis.xdel(store.category, events[10].position)
    lag = letters.lag()
    assert (lag.exact, lag.new >= 15) == (False, True)
    letters.receive(11)
    assert letters.lag() == Lag(new=4, pending=15, waiting=0, parked=0, exact=True)


# ------------------------------------------------------------------------------- the house


def test_every_key_is_in_the_category_s_slot_and_goes_with_it(store: EventStore) -> None:
    fill(store, 2)
    letters = subscribe(store, max_failures=2)
    first, second = letters.receive()
    letters.fail(first, "no")
    subscribe(store, max_failures=1).fail(second, "no")
    keys = list(store.redis.scan_iter(match=f"*{store.category}*"))
    assert set(store.keys.subscription("letters")) < set(keys)
    assert {redis.cluster.key_slot(key) for key in keys} == {
        redis.cluster.key_slot(store.category.encode())
    }
    store.drop()
    assert list(store.redis.scan_iter(match=f"*{store.category}*")) == []


# ----------------------------------------------------------------------- whatever happens


class Whatever(RuleBasedStateMachine):
    """Consumers receive, finish, fail, die; people replay, discard and trim: no event is lost, none is done twice."""

    client: redis.Redis
    category: str
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.store = EventStore(self.client, self.category)
        self.store.drop()
        self.lives: dict[str, Subscription] = {name: self.born(name) for name in "xy"}
        self.known: dict[str, Recorded] = {}
        self.done: set[str] = set()  # acked, or discarded by a person

    def born(self, name: str) -> Subscription:
        return subscribe(
            self.store, name, max_failures=2, max_deliveries=3, backoff=0.0005, claim_after=0.002
        )

    @rule(count=st.integers(1, 8))
    def append(self, count: int) -> None:
        self.known |= {event.position: event for event in fill(self.store, count)}

    @rule(target=held, name=st.sampled_from("xy"), count=st.integers(1, 12))
    def receive(self, name: str, count: int) -> tuple[str, list[Recorded]]:
        events = self.lives[name].receive(count)
        assert len(events) == len(set(positions(events))) <= count
        assert not self.done & set(positions(events))
        assert [self.known[position] for position in positions(events)] == events
        return name, events

    @rule(held=held, part=st.integers(0, 12))
    def ack(self, held: tuple[str, list[Recorded]], part: int) -> None:
        self.lives[held[0]].ack(held[1][:part])
        self.done |= set(positions(held[1][:part]))

    @rule(held=held)
    def fail(self, held: tuple[str, list[Recorded]]) -> None:
        for event in held[1]:
            self.lives[held[0]].fail(event, "no")

    @rule(name=st.sampled_from("xy"), leaves=st.booleans())
    def restart(self, name: str, leaves: bool) -> None:
        if leaves:
            self.lives[name].close()
        self.lives[name] = self.born(name)

    @rule(one=st.booleans())
    def replay(self, one: bool) -> None:
        parked = self.lives["x"].parked()
        assert self.lives["x"].replay(parked[0].position if one and parked else None) in (
            1,
            len(parked),
        )

    @rule()
    def discard(self) -> None:
        for parked in self.lives["y"].parked()[:1]:
            assert self.lives["y"].discard(parked.position) == 1
            self.done.add(parked.position)

    @rule()
    def trim(self) -> None:
        with contextlib.suppress(TrimRefused):
            self.known and self.store.trim(before=self.store.head())

    @invariant()
    def nothing_is_lost(self) -> None:
        lag = self.lives["x"].lag()
        assert (lag.events + lag.parked, lag.exact) == (len(self.known) - len(self.done), True)
        assert all(
            parked.event == self.known[parked.position] for parked in self.lives["x"].parked()
        )

    def teardown(self) -> None:
        last = subscribe(self.store, "last", claim_after=0.001, max_deliveries=10_000)
        last.replay()
        while last.lag().events:
            events = last.receive(100, block=1)
            last.ack(events)
            self.done |= set(positions(events))
        assert (self.done, last.parked()) == (set(self.known), [])
        self.store.drop()


def test_whatever_happens_no_event_is_lost(redis_client: redis.Redis, category: str) -> None:
    Whatever.client, Whatever.category = redis_client, category
    run_state_machine_as_test(
        Whatever,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True),
    )
