"""What the tests of subscriptions share."""

from __future__ import annotations

from typing import Any

from eventlab import ANY, Event, EventStore, Recorded
from eventlab.subscriptions.records import Parked
from eventlab.subscriptions.subscription import Subscription
from tests.support.waiting import wait_until

SHORT = 0.02  # seconds, for what a test must wait for


LONG = 3600.0  # for what must not happen in a test


def fill(store: EventStore, count: int, id: str = "a") -> list[Recorded]:
    return store.append(
        id, [Event("withdraw", {"amount": n}) for n in range(1, count + 1)], expected=ANY
    )


def subscribe(store: EventStore, consumer: str = "one", **options: Any) -> Subscription:
    """Return a consumer of the subscription, just started."""
    return Subscription(store, "letters", consumer=consumer, **options)


def pending(store: EventStore) -> dict[str, tuple[str, int]]:
    """Return what Redis holds pending: position to consumer and deliveries."""
    rows = store.redis.xpending_range(store.category, "letters", "-", "+", 10_000)
    return {r["message_id"].decode(): (r["consumer"].decode(), r["times_delivered"]) for r in rows}


def positions(events: list[Recorded] | list[Parked]) -> list[str]:
    return [event.position for event in events]


def let_die(store: EventStore, consumer: str, seconds: float = 3600) -> None:
    """Make it look as if a consumer's events were delivered to it ``seconds`` ago."""
    held = [position for position, (name, _) in pending(store).items() if name == consumer]
    store.redis.xclaim(
        store.category, "letters", consumer, 0, held, idle=int(seconds * 1000), justid=True
    )


def make_due(store: EventStore, events: list[Recorded]) -> None:
    """End the pause of these events."""
    store.redis.zadd(store.keys.subscription("letters")[0], dict.fromkeys(positions(events), 0))


def let_pause_end(store: EventStore) -> None:
    """End the pause after an outage."""
    store.redis.hset(store.keys.subscription("letters")[4], "until", 0)


def fail_until_parked(subscription: Subscription, error: str = "no") -> None:
    while not subscription.fail(
        *wait_until(subscription.receive), error
    ):  # one event, and its error
        pass


def consumers_of(store: EventStore) -> set[str]:
    return {c["name"].decode() for c in store.redis.xinfo_consumers(store.category, "letters")}
