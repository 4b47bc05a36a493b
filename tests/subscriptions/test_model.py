"""A state machine: whatever consumers and operators do, no event is lost."""

from __future__ import annotations

import contextlib

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

from eventlab import EventStore, Recorded, TrimRefused
from eventlab.subscriptions.subscription import Subscription
from tests.subscriptions.support import fill, positions, subscribe
from tests.support.examples import examples


class SubscriptionMachine(RuleBasedStateMachine):
    """Consumers receive, finish, fail and die; operators replay, discard and trim.

    No event is lost, and none is delivered after it was done.
    """

    client: redis.Redis
    category: str
    ordered = False
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.store = EventStore(self.client, self.category)
        self.store.drop()
        self.lives: dict[str, Subscription] = {name: self.born(name) for name in "xy"}
        self.known: dict[str, Recorded] = {}
        self.done: set[str] = set()  # acknowledged, or discarded by an operator

    def born(self, name: str) -> Subscription:
        return subscribe(
            self.store,
            name,
            max_failures=2,
            max_deliveries=3,
            backoff=0.0005,
            claim_after=0.002,
            ordered=self.ordered,
        )

    def check_order(self, events: list[Recorded]) -> None:
        """Each event is the first unfinished one of its aggregate: never two of an aggregate."""
        unfinished = [event for at, event in self.known.items() if at not in self.done]
        for event in events if self.ordered else []:
            assert event == next(each for each in unfinished if each.id == event.id)

    @rule(count=st.integers(1, 8), id=st.sampled_from("abc"))
    def append(self, count: int, id: str) -> None:
        self.known |= {event.position: event for event in fill(self.store, count, id)}

    @rule(target=held, name=st.sampled_from("xy"), count=st.integers(1, 12))
    def receive(self, name: str, count: int) -> tuple[str, list[Recorded]]:
        events = self.lives[name].receive(count)
        assert len(events) == len(set(positions(events))) <= count
        assert not self.done & set(positions(events))
        assert [self.known[position] for position in positions(events)] == events
        self.check_order(events)
        return name, events

    @rule(held=held, part=st.integers(0, 12))
    def ack(self, held: tuple[str, list[Recorded]], part: int) -> None:
        self.lives[held[0]].ack(held[1][:part])
        self.done |= set(positions(held[1][:part]))

    @rule(held=held)
    def fail(self, held: tuple[str, list[Recorded]]) -> None:
        for event in held[1]:
            self.lives[held[0]].fail(event, "no")

    @rule(held=held)
    def meet_an_outage(self, held: tuple[str, list[Recorded]]) -> None:
        for event in held[1]:
            self.lives[held[0]].fail(event, "no", outage=True)

    @rule(held=held)
    def hand_back(self, held: tuple[str, list[Recorded]]) -> None:
        self.lives[held[0]].hand_back(held[1])

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
            self.check_order(events)
            last.ack(events)
            self.done |= set(positions(events))
        assert (self.done, last.parked()) == (set(self.known), [])
        self.store.drop()


class OrderedMachine(SubscriptionMachine):
    """The same, with an ordered subscription."""

    ordered = True


@pytest.mark.parametrize("machine", [SubscriptionMachine, OrderedMachine])
def test_no_event_is_lost_or_out_of_order_whatever_happens(
    redis_client: redis.Redis, category: str, machine: type[SubscriptionMachine]
) -> None:
    machine.client = redis_client
    machine.category = category
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples(60), stateful_step_count=40, deadline=None, derandomize=True
        ),
    )
