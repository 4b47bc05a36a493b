"""Subscriptions deliver events for work that no transaction can include, such as remote calls.

Each event is delivered until a consumer acknowledges it. An event may be delivered several times,
so the work must be idempotent. Consumers compete for the events, which they receive in no
particular order or, from an ordered subscription, in order within each aggregate.

Unfinished events are in the pending entries list of a Redis consumer group. The list also has the
failed events, under the consumer name WAITING, until they are due for a retry. Parked events (dead
letters) are no longer in the list. Blocked events, which wait for an unfinished event of their
aggregate, are not in the list either.

No script stops Redis for long, because each script handles one page of events, and the size of a
page is limited, in events and in bytes.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from eventlab.errors import CorruptEvent, InvalidArgument, SubscriptionLost
from eventlab.events import Recorded, decode_entry, decode_rows, encode_json
from eventlab.store.keys import START, order
from eventlab.store.scripts import RAW
from eventlab.store.slices import Sliceable, one_stream
from eventlab.store.store import EventStore
from eventlab.store.stream import IDENTIFYING_BYTES, CategoryStream, Fields
from eventlab.subscriptions.group import ConsumerGroup
from eventlab.subscriptions.records import Lag, Parked
from eventlab.subscriptions.running import Handler, run

MAX_COUNTED_EVENTS: Final = 10_000  # if Redis lost count, a larger number is an estimate
MAX_EVENTS: Final = 1_000  # per call; a consumer that holds more events does not receive them again
SCANNED_EVENTS: Final = 1_000  # pending events that one script searches for abandoned ones
SOURCES: Final = 4  # where receive.lua finds events: own, due, a dead consumer's, new
MIN_SHARED_COUNT: Final = 8  # from this count up, each source has a share of a batch
MAX_PAUSE_SECONDS: Final = 1.0  # of a blocking read, and between searches of all pending events
MAX_ERROR_CHARACTERS: Final = 2000  # of an error's text that are stored


class Subscription(Sliceable):
    """Delivers the events of a category to consumers that do work in other systems.

    ``consumer`` names this consumer. Use the same name after a restart, but never for two consumers
    at the same time. A new subscription begins at the first event, or after ``start``. ``start`` is
    a position, or ``$`` for new events only. Use each object in one thread only.

    An event that is neither acknowledged nor reported as failed for ``claim_after`` seconds counts
    as abandoned, and any consumer may receive it. Choose a value that is longer than the work on
    all events of one ``receive`` call. A failed event is delivered again after a pause of
    ``backoff`` seconds, which doubles with each failure. An event is parked after ``max_failures``
    failures, or after ``max_deliveries`` deliveries (3 or more) without a response from the
    consumer. If the Redis clock is set back, a dead consumer's events are reclaimed that much
    later.

    An ``ordered`` subscription delivers an event only after all earlier events of its aggregate
    have been acknowledged or discarded. An event that fails or is parked blocks the later events of
    its aggregate, but no other events. Blocked events may be trimmed, because they are read from
    the aggregate log. An ordered subscription stays ordered even if it is opened without
    ``ordered``. An existing subscription can become ordered only while it has no unfinished or
    parked events.

    Raises InvalidArgument and InvalidName, and Trimmed if events after ``start`` were trimmed.
    Every method raises SubscriptionLost if the consumer group is gone, and a redis-py error if
    Redis does not respond or rejects the call. If ``eventlab.store.answers.is_outage`` returns True
    for this error, Redis is down, failing over, read-only or full. In that case, it is safe to wait
    and repeat the call. ``receive`` also raises SubscriptionLost if the newest event that this
    object has delivered is gone, because Redis has lost events in a failover.

    Most programs need only ``run``, which is a loop. You can also write your own loop:

    >>> letters = Subscription(store, "letters", consumer="letters-1")
    >>> for event in letters.receive(10, block=5):
    ...     try:
    ...         send(event)
    ...     except MailError as error:
    ...         letters.fail(event, error)
    ...     else:
    ...         letters.ack([event])
    """

    _sliced = "eventlab.slices.subscription", "SlicedSubscription"

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
        for what, seconds in (("claim_after", claim_after), ("backoff", backoff)):
            if seconds <= 0:
                raise InvalidArgument(f"{what}={seconds!r} must be more than 0 seconds")
        # An event is delivered twice in a batch, then alone. With fewer than 3 deliveries, an event
        # that kills its consumer would be parked together with its neighbors.
        limits = ("max_failures", max_failures, 1), ("max_deliveries", max_deliveries, 3)
        for what, number, least in limits:
            if number < least:
                raise InvalidArgument(f"{what}={number!r} must be {least} or more")
        self._group = ConsumerGroup(store, name, consumer)
        self.store = store
        self.name = name
        self.consumer = consumer
        self.claim_after = claim_after
        self._max_failures = max_failures
        self._max_deliveries = max_deliveries
        self._backoff = backoff
        self._first_source = 0
        self._held: dict[str, float] = {}  # positions that this object holds, and until when
        self._answered = 0  # the time in Redis at the last reply to this object, in ms
        self._scan_from = b"-"  # the next page of pending events to search for abandoned ones
        self._scan_at = 0.0
        self._more = False  # the last call read only blocked events, so there may be more events
        # The newest entry that was delivered here: its position, and the start of its first field.
        self._newest = (START, b"")
        self._stream = CategoryStream(store.redis, store.keys)
        one_stream(store)
        self._group.create(start, ordered=ordered)

    # -------------------------------------------------------------------- work

    def receive(self, count: int = 10, *, block: float | None = None) -> list[Recorded]:
        """Return up to ``count`` events to work on: at most 1,000 events and about 4 MB.

        This consumer's unfinished events come first, then retries, then a dead consumer's events,
        and then new events. Each kind leaves a share of ``count`` for the next kind, so no kind
        starves another. If there are no events, the call waits for up to ``block`` seconds.

        An event that was delivered twice without a response is then delivered alone. If the event
        kills its consumer, that delivery does not count against any other event. A delivery whose
        reply was lost is not counted again. An event that cannot be read is parked.

        >>> [event.type for event in letters.receive(2)]
        ['create', 'deposit']
        """
        if count < 1:
            raise InvalidArgument(f"count={count!r} must be 1 or more")
        if block is not None and block < 0:
            raise InvalidArgument(f"block={block!r} must be 0 seconds or more")
        end = time.monotonic() + (block or 0)
        while True:
            rows = self._take(min(count, MAX_EVENTS))
            events = [event for row in rows if (event := self._open(*row)) is not None]
            left = end - time.monotonic()
            if events or (not rows and not self._more and left <= 0):
                until = time.monotonic() + self.claim_after
                self._held |= {event.position: until for event in events}
                return events
            if not rows and not self._more:
                self._wait(left)

    def ack(self, events: Iterable[Recorded]) -> None:
        """Acknowledge events that have been handled. Repeating the call has no effect."""
        done = {event.position: encode_json([event.id, event.version]) for event in events}
        self._group.run_in_pages("ack", [f"{at} {text.decode()}" for at, text in done.items()])
        for position in done:
            self._held.pop(position, None)

    def touch(self, events: Iterable[Recorded]) -> int:
        """Report that the work on events continues, and restart their ``claim_after`` time.

        If the work may take longer than ``claim_after``, call this method before that time is over.
        Returns how many of the events this consumer still holds. The other events are finished or
        parked, or another consumer has received them.

        >>> letters.touch([event])
        1
        """
        positions = [event.position for event in events]
        until = time.monotonic() + self.claim_after
        self._held |= {position: until for position in positions if position in self._held}
        claim_after_ms = math.ceil(self.claim_after * 1000)
        return self._group.run_in_pages("touch", positions, claim_after_ms)

    def fail(self, event: Recorded, error: Exception | str, *, outage: bool = False) -> bool:
        """Report that the work on an event failed, and return True if the event was parked.

        Otherwise, the event is delivered again after a pause. If another consumer has received or
        finished the event in the meantime, the call has no effect.

        Pass ``outage=True`` if the cause is not the event but an outage of a system that the work
        needs. No event is then parked, and the subscription is paused for all its consumers. The
        first pause lasts ``backoff`` seconds, and each further pause lasts twice as long as the
        previous one, up to 64 times ``backoff``. After a pause, each ``receive`` call returns at
        most one event until an event is acknowledged.

        >>> letters.fail(event, ValueError("no such street"))
        False
        >>> letters.fail(event, ConnectionError("no answer"), outage=True)
        False
        """
        what = "outage" if outage else "failed"
        return self._fail(event.position, event.id, event.version, error, what)

    def hand_back(self, events: Iterable[Recorded]) -> None:
        """Give back events that were not handled, so that any consumer can receive them at once."""
        for event in events:
            self._fail(event.position, event.id, event.version, "", "returned")

    def run(
        self,
        handle: Handler,
        stop: threading.Event,
        *,
        outage_errors: tuple[type[Exception], ...] = (),
        batch_size: int = 10,
        poll_interval: float = 1.0,
    ) -> int:
        """Call ``handle`` with each event until ``stop`` is set; return how many were handled.

        An event is acknowledged when ``handle`` returns. If ``handle`` raises an error, the event
        fails and is delivered again after a pause, or is parked. If the error is one of
        ``outage_errors``, or means that Redis or MongoDB is down, the event is not the cause. In
        that case, the subscription is paused for all its consumers, and no event is parked. In
        ``outage_errors``, include only errors that no single event can cause, such as a refused
        connection.

        The ``meta`` of each event that ``handle`` appends names the handled event as the cause. If
        the work on a single event takes longer than ``claim_after``, let ``handle`` call ``touch``.
        When ``stop`` is set, the loop finishes the current event and gives back the events after
        it. The loop checks ``stop`` every ``poll_interval`` seconds. While Redis is down, the loop
        waits. Each outage is logged once.

        Raises SubscriptionLost, which says how to begin again, and Misconfigured.

        >>> letters.run(send, stop, outage_errors=(ConnectionRefusedError,))
        2
        """
        return run(self, handle, stop, outage_errors, batch_size, poll_interval)

    def close(self) -> bool:
        """Remove this consumer and return True, or return False if it has unfinished events.

        >>> letters.close()
        True
        """
        return bool(self._group.run("leave"))

    # ------------------------------------------------------------------ parked

    def parked(self) -> list[Parked]:
        """Return the parked events, in the order of their positions.

        >>> [(parked.event.id, parked.error) for parked in letters.parked()]
        [('JohnDoe', 'MailError: no such street')]
        """
        self._group.run("discard")  # discards nothing, but may raise SubscriptionLost
        found = [self._parked(*record) for record in self._group.parked().items()]
        return sorted(found, key=lambda parked: order(parked.position))

    def replay(self, position: str | None = None) -> int:
        """Replay one parked event or all parked events, and return their number.

        Their failure counts are reset.

        >>> letters.replay("1551312847014-0")
        1
        """
        return self._group.run_in_pages("replay", self._parked_positions(position))

    def discard(self, position: str | None = None) -> int:
        """Discard one parked event or all parked events, and return their number.

        The store keeps the events.

        >>> letters.discard("1551312847014-0")
        1
        """
        return self._group.run_in_pages("discard", self._parked_positions(position))

    def lag(self) -> Lag:
        """Return the number of unfinished events in each state.

        >>> letters.lag()
        Lag(new=2, pending=1, waiting=0, parked=1, exact=True)
        """
        new, pending, waiting, parked, after, length, _, blocked, pause = self._group.run("lag")
        new = self._count(after) if new is None else new
        exact = new is not None
        return Lag(new if exact else length, pending, waiting, parked, exact, blocked, pause > 0)

    # -------------------------------------------------------------------------

    def _take(self, count: int) -> Any:
        now = time.monotonic()
        claim_after_ms = math.ceil(self.claim_after * 1000)
        delivered = len(self._held)
        self._held = {position: until for position, until in self._held.items() if until > now}
        abandoned = self._find_abandoned(now, claim_after_ms)[:count]
        # This object has not seen events that were delivered after the last reply. Events of the
        # same millisecond count as unseen too, unless events of that reply are abandoned by now.
        answered = self._answered - (delivered == len(self._held))
        held = list(self._held)[:MAX_EVENTS]
        own = 0 if len(self._held) > MAX_EVENTS else count + len(held)
        # In a batch that is too small for shares, the sources take turns being asked first.
        first = self._first_source if count < MIN_SHARED_COUNT else 0
        self._first_source = (self._first_source + 1) % SOURCES
        args = count, claim_after_ms, first, answered, own
        found = len(abandoned), *abandoned, *held
        while (reply := self._group.run("receive", *args, *self._newest, *found)) is None:
            self._group.run("discard")  # discards nothing, but may raise SubscriptionLost
            if self._stream.lacks(*self._newest):
                raise SubscriptionLost(self.name, self._newest[0])
            self._newest = (START, b"")  # the newest entry was trimmed
        rows, self._answered, self._more = reply
        return rows

    def _find_abandoned(self, now: float, claim_after_ms: int) -> list[str]:
        """Return the abandoned events in one page of the pending events."""
        if now < self._scan_at:
            return []
        args = claim_after_ms, self._scan_from, SCANNED_EVENTS
        found, next_page, redis_time = self._group.run("abandoned", *args)
        self._answered = self._answered or redis_time + 1
        abandoned = [at for position in found if (at := position.decode()) not in self._held]
        if not abandoned:  # otherwise, the next call scans this page again
            self._scan_from = next_page
            pause = MAX_PAUSE_SECONDS if next_page == b"-" else MAX_PAUSE_SECONDS / 20
            self._scan_at = now + min(pause, self.claim_after)
        return abandoned

    def _wait(self, seconds: float) -> None:
        """Wait for a new event, or until a retry or an abandoned event may be due."""
        *_, after, _, due_ms, _, pause_ms = self._group.run("lag")
        if pause_ms:
            time.sleep(min(seconds, pause_ms / 1000, MAX_PAUSE_SECONDS))
            return
        pause = min(seconds, due_ms / 1000, self._scan_at - time.monotonic())
        self.store.wait(after=after.decode(), seconds=pause)

    def _count(self, after: bytes) -> Any:
        """Count the events after a position; return None above MAX_COUNTED_EVENTS."""
        counted = 0
        more = True
        while more and counted <= MAX_COUNTED_EVENTS:
            found, after, more = self._group.run("count", after)
            counted += found
        return counted if counted <= MAX_COUNTED_EVENTS else None

    def _open(
        self, position: bytes, fields: list[bytes], unanswered: int, kept: bytes
    ) -> Recorded | None:
        """Return an event, or None if it was parked because it is unreadable or kills consumers."""
        at = position.decode()
        if fields and order(self._newest[0]) < order(at):
            self._newest = at, fields[1][:IDENTIFYING_BYTES]
        id, version, _ = msgspec.json.decode(kept)
        error: object = (
            f"delivered {unanswered} times without an acknowledgment or a failure: "
            "the event may be crashing its consumer"
        )
        try:
            event = self._stored(at, dict(zip(fields[::2], fields[1::2], strict=True)), id, version)
            id = event.id
            version = event.version
            if unanswered < self._max_deliveries:
                return self.store.upcast(event)
        except RedisError:
            raise
        except Exception as raised:  # noqa: BLE001 - an upcaster is user code: store what it raises
            error = raised
        self._fail(at, id, version, error, "parked")
        return None

    def _stored(self, at: str, fields: Fields, id: str | None, version: int) -> Recorded:
        """Return an event as it was stored, from its entry or else from the aggregate log."""
        if fields:
            return decode_entry(at.encode(), fields)
        if id is not None:
            log = self.store.keys.log(id)
            element = self.store.redis.execute_command("LINDEX", log, version - 1, **RAW)
            for row in decode_rows([element] if element else [], at):
                if row.position == at:
                    return Recorded(id, version, row.type, row.data, at, row.meta)
        raise CorruptEvent(at, "its entry was deleted before the event was finished")

    def _fail(self, at: str, id: str | None, version: int, error: object, what: str) -> bool:
        self._held.pop(at, None)
        text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        text = text[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()
        kept = encode_json([id, version, text])
        # Events that failed at the same time must not all be due at the same time.
        backoff_ms = self._backoff * 1000 * random.uniform(0.75, 1.25)
        return bool(self._group.run("fail", at, what, self._max_failures, backoff_ms, kept))

    def _parked(self, position: bytes, record: bytes) -> Parked:
        failures, deliveries, ms, kept = record.split(b" ", 3)
        at = position.decode()
        id, version, error = msgspec.json.decode(kept)
        event: Recorded | None = None
        found = self.store.redis.execute_command("XRANGE", self.store.keys.stream, at, at, **RAW)
        with contextlib.suppress(CorruptEvent):
            event = self._stored(at, found[0][1] if found else {}, id, version)
            # If an upcaster fails on the event, return the event as it was stored.
            with contextlib.suppress(Exception):
                event = self.store.upcast(event)
        time = datetime.fromtimestamp(int(ms) / 1000, UTC)
        return Parked(at, event, error, int(failures), int(deliveries), time)

    def _parked_positions(self, position: str | None) -> list[str]:
        return [at.decode() for at in self._group.parked()] if position is None else [position]
