"""Subscribes to a category in slices, with one subscription per slice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from eventlab.errors import InvalidArgument
from eventlab.events import Recorded
from eventlab.slices.shares import outages_ignored
from eventlab.store.answers import SERVER_ERRORS, is_outage
from eventlab.store.keys import START, order
from eventlab.store.slices import slice_number
from eventlab.store.store import EventStore
from eventlab.store.waiting import wait_for_any
from eventlab.subscriptions.records import Lag, Parked
from eventlab.subscriptions.subscription import Subscription

REST_SECONDS: Final = 0.1  # while no shard responds, or during a pause
PAUSE_SECONDS: Final = 1.0  # of one wait for new events, and before a shard is retried

LATER: Final = object()  # the result of an acknowledgment that was not sent

Result = TypeVar("Result")
Other = TypeVar("Other")


class SlicedSubscription(Subscription):
    """The events of all slices of a category; see Subscription.

    ``receive`` polls the slices in turn, so that no slice starves another. While a shard of Redis
    is down, its slices are skipped. Acknowledgments of their events are sent when the shard
    responds again. An event whose failure could not be reported is delivered again after
    ``claim_after`` seconds. ``fail(..., outage=True)`` pauses the slice of the event for all
    consumers, and all slices for this consumer.
    """

    def __init__(
        self,
        store: EventStore,
        name: str,
        *,
        consumer: str,
        start: str = START,
        claim_after: float = 30.0,
        max_failures: int = 5,
        max_deliveries: int = 20,
        backoff: float = 1.0,
        ordered: bool = False,
    ) -> None:
        self.store = store
        self.name = name
        self.consumer = consumer
        self.claim_after = claim_after
        self._parts = [
            Subscription(
                part,
                name,
                consumer=consumer,
                start=start,
                claim_after=claim_after,
                max_failures=max_failures,
                max_deliveries=max_deliveries,
                backoff=backoff,
                ordered=ordered,
            )
            for part in store.all_slices()
        ]
        self._backoff = backoff
        self._next = 0  # the slice whose turn it is
        self._unsent: dict[int, list[Recorded]] = {}  # acknowledged while their shard was down
        self._rests: dict[str, float] = {}  # shards that were down, and when to retry them
        self._paused_until = 0.0

    # -------------------------------------------------------------------- work

    def receive(self, count: int = 10, *, block: float | None = None) -> list[Recorded]:
        """Return up to ``count`` events to work on, taken from the slices in turn."""
        if count < 1:
            raise InvalidArgument(f"count={count!r} must be 1 or more")
        if block is not None and block < 0:
            raise InvalidArgument(f"block={block!r} must be 0 seconds or more")
        end = time.monotonic() + (block or 0)
        heads: dict[bytes, str] | None = None
        while True:
            events, down = self._take_turns(count)
            left = end - time.monotonic()
            if events or left <= 0:
                if down is not None and not events:
                    raise down
                return events
            pause = min(left, PAUSE_SECONDS)
            if heads is None:
                # Poll the slices once more after this: a later event then ends the wait.
                heads = self._heads()
                continue
            if heads and time.monotonic() >= self._paused_until:
                with outages_ignored():
                    wait_for_any(self.store.redis, heads, pause)
            else:
                time.sleep(min(pause, REST_SECONDS))
            heads = None

    def _heads(self) -> dict[bytes, str]:
        heads = {}
        for number, part in enumerate(self._parts):
            if not self._rests_now(number):
                head = self._of_shard(number, part.store.head, "")
                if head:
                    heads[part.store.keys.stream] = head
        return heads

    def _take_turns(self, count: int) -> tuple[list[Recorded], Exception | None]:
        events: list[Recorded] = []
        down: Exception | None = None
        for _ in self._parts if time.monotonic() >= self._paused_until else ():
            number = self._next
            self._next = (number + 1) % len(self._parts)
            if self._rests_now(number):
                continue
            try:
                if unsent := self._unsent.pop(number, []):
                    self._parts[number].ack(unsent)
                    unsent = []
                events += self._parts[number].receive(count - len(events))
            except SERVER_ERRORS as error:
                if not is_outage(error):
                    raise
                down = error
                self._rest(number)
                if unsent:
                    self._unsent[number] = unsent
            if len(events) >= count:
                break
        return events, down

    def ack(self, events: Iterable[Recorded]) -> None:
        """Acknowledge events whose work is finished; a repeat has no effect."""
        by_slice: dict[int, list[Recorded]] = {}
        for event in events:
            by_slice.setdefault(slice_number(event.id), []).append(event)
        for number, some in by_slice.items():
            if self._of_shard(number, partial(self._parts[number].ack, some), LATER) is LATER:
                self._unsent.setdefault(number, []).extend(some)

    def touch(self, events: Iterable[Recorded]) -> int:
        """Report that the work on events continues; return how many this consumer still holds."""
        held = 0
        for event in events:
            number = slice_number(event.id)
            held += self._of_shard(number, partial(self._parts[number].touch, [event]), 0)
        return held

    def fail(self, event: Recorded, error: Exception | str, *, outage: bool = False) -> bool:
        """Report that the work on an event failed; return True if the event was parked."""
        number = slice_number(event.id)
        part = self._parts[number]
        if outage:
            self._paused_until = time.monotonic() + self._backoff
        return self._of_shard(number, lambda: part.fail(event, error, outage=outage), False)

    def hand_back(self, events: Iterable[Recorded]) -> None:
        """Give back events that were not worked on; any consumer can receive them immediately."""
        for event in events:
            number = slice_number(event.id)
            self._of_shard(number, partial(self._parts[number].hand_back, [event]), None)

    def close(self) -> bool:
        """Remove this consumer; return False if it still holds events of a slice."""
        return sum(part.close() for part in self._parts) == len(self._parts)

    # ------------------------------------------------------------------ parked

    def parked(self) -> list[Parked]:
        """Return the parked events of all slices, in the order of their positions."""
        found = [parked for part in self._parts for parked in part.parked()]
        return sorted(found, key=lambda parked: order(parked.position))

    def replay(self, position: str | None = None) -> int:
        """Redeliver the parked events at a position, or all parked events; return how many."""
        return sum(part.replay(position) for part in self._parts)

    def discard(self, position: str | None = None) -> int:
        """Discard the parked events at a position, or all parked events; return how many."""
        return sum(part.discard(position) for part in self._parts)

    def lag(self) -> Lag:
        """Return how many events are unfinished, in all slices together."""
        return sum_of([part.lag() for part in self._parts])

    # ------------------------------------------------------------------ shards

    def _of_shard(
        self, number: int, call: Callable[[], Result], otherwise: Other
    ) -> Result | Other:
        """Return the result of a call for a slice, or ``otherwise`` if its shard is down."""
        try:
            return call()
        except SERVER_ERRORS as error:
            if not is_outage(error):
                raise
            self._rest(number)
            return otherwise

    def _shard(self, number: int) -> str:
        redis = self.store.redis
        if not hasattr(redis, "get_node_from_key"):
            return ""
        return str(redis.get_node_from_key(self._parts[number].store.keys.stream).name)

    def _rests_now(self, number: int) -> bool:
        return time.monotonic() < self._rests.get(self._shard(number), 0.0)

    def _rest(self, number: int) -> None:
        # Skip all slices of the shard: trying each of them would delay the other shards.
        self._rests[self._shard(number)] = time.monotonic() + PAUSE_SECONDS


def sum_of(lags: Sequence[Lag]) -> Lag:
    """Return the sum of the lags of all slices."""
    return Lag(
        new=sum(lag.new for lag in lags),
        pending=sum(lag.pending for lag in lags),
        waiting=sum(lag.waiting for lag in lags),
        parked=sum(lag.parked for lag in lags),
        exact=all(lag.exact for lag in lags),
        blocked=sum(lag.blocked for lag in lags),
        paused=any(lag.paused for lag in lags),
    )
