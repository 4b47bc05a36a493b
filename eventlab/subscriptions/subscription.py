"""A subscription: work that no transaction can include, such as a call to another system.

Each event is delivered until a consumer acknowledges it: at least once, to competing consumers, in
no order. So the work must be idempotent. Unfinished events are in the pending entries list of a
Redis consumer group. Failed events are there too, under the consumer name WAITING, until they are
due for a retry. Parked events (dead letters) have left the list.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError, ResponseError

from eventlab.errors import CorruptEvent, InvalidArgument, InvalidName, Trimmed
from eventlab.events import Recorded, decode_entry, decode_rows, encode_json
from eventlab.store.keys import (
    START,
    checked_name,
    checked_position,
    checked_subscription,
    order,
)
from eventlab.store.scripts import RAW, Script
from eventlab.store.store import EventStore
from eventlab.store.stream import CategoryStream

WAITING: Final = "(waiting)"  # the consumer that holds events until they are due for a retry
MAX_COUNTED_EVENTS: Final = 10_000  # with more new events, a lag is an estimate
# Two deliveries in a batch, one alone: with fewer, an event that kills its consumer would be parked
# with its neighbors.
MIN_DELIVERIES: Final = 3
SOURCES: Final = 4  # where receive.lua finds events: own, due, a dead consumer's, new
MIN_SHARED_COUNT: Final = 8  # from this count on, each source has a share of a batch
MAX_BLOCK_SECONDS: Final = 1.0  # of one blocking read
MAX_ERROR_CHARACTERS: Final = 2000  # of a failure's text that is stored


@dataclass(frozen=True)
class Parked:
    """A parked event (a dead letter), with its last error, its counts and the time of parking.

    ``event`` is None when it cannot be read any more; the error says why.
    """

    position: str
    event: Recorded | None
    error: str
    failures: int
    deliveries: int
    time: datetime


@dataclass(frozen=True)
class Lag:
    """What a subscription has not finished: events that are new, pending, or wait for a retry.

    Parked events are counted separately. If ``exact`` is False, there are over 10,000 new events,
    and ``new`` is an estimate.
    """

    new: int
    pending: int
    waiting: int
    parked: int
    exact: bool

    @property
    def events(self) -> int:
        """The number of unfinished events."""
        return self.new + self.pending + self.waiting


class Subscription:
    """The events of a category for other systems, shared by all consumers of the subscription.

    ``consumer`` names this consumer: use the same name after a restart, and never the same name
    twice at a time. A new subscription starts at the first event, or after ``start``: a position,
    or ``$`` for events from now on. An object serves one thread.

    An event that is neither acknowledged nor failed for ``claim_after`` seconds counts as
    abandoned, and any consumer may get it: choose a longer time than the work on all events
    of one ``receive`` takes. A failed event is delivered again after ``backoff`` seconds, doubled
    with each failure. It is parked after ``max_failures`` failures, or after ``max_deliveries``
    deliveries (3 or more) that got no response from the consumer.

    Raises InvalidArgument, InvalidName; Trimmed when events after ``start`` are gone.

    >>> letters = Subscription(store, "letters", consumer="letters-1")
    >>> for event in letters.receive(10, block=5):
    ...     try:
    ...         send(event)
    ...     except MailError as error:
    ...         letters.fail(event, error)
    ...     else:
    ...         letters.ack([event])
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
    ) -> None:
        if checked_name(consumer, "consumer") == WAITING.encode():
            raise InvalidName(
                f"consumer {consumer!r} is reserved for events that wait for a retry: "
                "use another name"
            )
        if claim_after <= 0:
            raise InvalidArgument(f"claim_after={claim_after!r} must be more than 0 seconds")
        if backoff <= 0:
            raise InvalidArgument(f"backoff={backoff!r} must be more than 0 seconds")
        if max_failures <= 0:
            raise InvalidArgument(f"max_failures={max_failures!r} must be 1 or more")
        if max_deliveries < MIN_DELIVERIES:
            raise InvalidArgument(
                f"max_deliveries={max_deliveries!r} must be {MIN_DELIVERIES} or more"
            )
        self.store = store
        self.name = checked_subscription(name)
        self.consumer = consumer
        self._claim_after = claim_after
        self._max_failures = max_failures
        self._max_deliveries = max_deliveries
        self._backoff = backoff
        self._redis = store.redis
        self._keys = [store.keys.stream, *store.keys.subscription(name)]
        self._first_source = 0
        self._held: dict[str, float] = {}  # positions delivered to this object, and until when
        # A read that blocks for as long as the client waits for an answer would look like a dead
        # server.
        timeout = self._redis.get_connection_kwargs().get("socket_timeout")
        self._max_block = min(MAX_BLOCK_SECONDS, (timeout or math.inf) / 2)
        self._create_group(start if start == "$" else checked_position(start))

    def _create_group(self, start: str) -> None:
        try:
            self._redis.xgroup_create(self._keys[0], self.name, start, mkstream=True)
            if start != "$":
                # Checked after the group exists: from then on no trim passes it.
                list(CategoryStream(self._redis, self.store.keys).entries(after=start, limit=1))
        except Trimmed:
            self.store.forget_group(self.name)
            raise
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    # -------------------------------------------------------------------- work

    def receive(self, count: int = 10, *, block: float | None = None) -> list[Recorded]:
        """Return up to ``count`` events to work on.

        This consumer's unfinished events come first, then retries, a dead consumer's events, and
        new ones. Each kind leaves a share of ``count`` to the next, so none starves another. If
        there is nothing, it waits up to ``block`` seconds for events. An event that was delivered
        twice without a response comes alone: if it kills its consumer, no other event is counted
        with it. An event that cannot be read is parked.

        >>> [event.type for event in letters.receive(2)]
        ['create', 'deposit']
        """
        if count < 1:
            raise InvalidArgument(f"count={count!r} must be 1 or more")
        if block is not None and block < 0:
            raise InvalidArgument(f"block={block!r} must be 0 seconds or more")
        end = time.monotonic() + (block or 0)
        while True:
            rows, last_delivered, pause_ms = self._take(count)
            events = [event for row in rows if (event := self._open(*row)) is not None]
            left = end - time.monotonic()
            if events or (not rows and left <= 0):
                until = time.monotonic() + self._claim_after
                self._held |= {event.position: until for event in events}
                return events
            seconds = min(left, self._max_block, pause_ms / 1000)
            ms = max(1, math.ceil(seconds * 1000))  # 0 would block forever
            self._redis.execute_command(
                "XREAD", "COUNT", 1, "BLOCK", ms, "STREAMS", self._keys[0], last_delivered, **RAW
            )

    def ack(self, events: Iterable[Recorded]) -> None:
        """Acknowledge events: their work is done. A repeat has no effect."""
        positions = [event.position for event in events]
        self._run("ack", *positions)
        for position in positions:
            self._held.pop(position, None)

    def fail(self, event: Recorded, error: Exception | str) -> bool:
        """Report that the work on an event failed; return True if that parked it.

        Otherwise it is delivered again after a pause. An event that another
        consumer has finished in the meantime stays finished.

        >>> letters.fail(event, ConnectionError("no answer"))
        False
        """
        self._held.pop(event.position, None)
        return self._fail(
            event.position,
            event.id,
            event.version,
            error,
            added_failures=1,
            park_at=self._max_failures,
        )

    def close(self) -> bool:
        """Remove this consumer and return True; False if it holds events, which are delivered
        again.

        >>> letters.close()
        True
        """
        return bool(self._run("leave", self.consumer))

    # ------------------------------------------------------------------ parked

    def parked(self) -> list[Parked]:
        """Return the parked events, in the order of their positions.

        >>> [(parked.event.id, parked.error) for parked in letters.parked()]
        [('JohnDoe', 'MailError: no such street')]
        """
        records = self._redis.execute_command("HGETALL", self._keys[3], **RAW)
        return sorted(
            (self._parked(*record) for record in records.items()),
            key=lambda parked: order(parked.position),
        )

    def replay(self, position: str | None = None) -> int:
        """Deliver a parked event again, or all of them, with their failures reset; return how many.

        >>> letters.replay("1551312847014-0")
        1
        """
        return int(self._run("replay", WAITING, *self._parked_positions(position)))

    def discard(self, position: str | None = None) -> int:
        """Discard a parked event, or all of them; return how many. The store keeps the events.

        >>> letters.discard("1551312847014-0")
        1
        """
        positions = self._parked_positions(position)
        if not positions:
            return 0
        return int(self._redis.execute_command("HDEL", self._keys[3], *positions))

    def lag(self) -> Lag:
        """Return how many events are unfinished.

        >>> letters.lag()
        Lag(new=2, pending=1, waiting=0, parked=1, exact=True)
        """
        new, pending, waiting, parked, exact = self._run("lag", WAITING, MAX_COUNTED_EVENTS)
        return Lag(new, pending, waiting, parked, bool(exact))

    # -------------------------------------------------------------------------

    def _run(self, name: str, *args: Any) -> Any:
        return Script(f"subscriptions/{name}")(self._redis, self._keys, [self.name, *args])

    def _take(self, count: int) -> Any:
        now = time.monotonic()
        claim_after_ms = math.ceil(self._claim_after * 1000)
        self._held = {position: until for position, until in self._held.items() if until > now}
        # Too few for a share each: the sources take turns at being asked first.
        first = self._first_source if count < MIN_SHARED_COUNT else 0
        self._first_source = (self._first_source + 1) % SOURCES
        return self._run(
            "receive", self.consumer, WAITING, count, claim_after_ms, first, *self._held
        )

    def _open(
        self, position: bytes, fields: list[bytes], unanswered: int, kept: bytes
    ) -> Recorded | None:
        """Return an event to deliver; None if it was parked (unreadable, or kills consumers)."""
        at = position.decode()
        id, version, _ = msgspec.json.decode(kept)
        error: object = (
            f"delivered {unanswered} times, and neither acknowledged nor failed: "
            "it may kill its consumer"
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
        self._fail(at, id, version, error, added_failures=0, park_at=0)
        return None

    def _stored(
        self, at: str, fields: Mapping[bytes, bytes], id: str | None, version: int
    ) -> Recorded:
        """Return an event as it was stored, from its entry, or else from the aggregate log."""
        if fields:
            return decode_entry(at.encode(), fields)
        if id is not None:
            element = self._redis.execute_command(
                "LINDEX", self.store.keys.log(id), version - 1, **RAW
            )
            for row in decode_rows([element] if element else [], at):
                if row.position == at:
                    return Recorded(id, version, row.type, row.data, at, row.meta)
        raise CorruptEvent(
            at, "it was lost: its entry was deleted from the stream before it was finished"
        )

    def _fail(
        self,
        at: str,
        id: str | None,
        version: int,
        error: object,
        *,
        added_failures: int,
        park_at: int,
    ) -> bool:
        text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        text = text[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()
        kept = encode_json([id, version, text])
        # Events that failed together must not be due together.
        jitter = random.uniform(0.75, 1.25)
        backoff_ms = self._backoff * 1000 * jitter
        return bool(self._run("fail", WAITING, at, added_failures, park_at, backoff_ms, kept))

    def _parked(self, position: bytes, record: bytes) -> Parked:
        failures, deliveries, ms, kept = record.split(b" ", 3)
        at = position.decode()
        id, version, error = msgspec.json.decode(kept)
        event: Recorded | None = None
        found = self._redis.execute_command("XRANGE", self._keys[0], at, at, **RAW)
        with contextlib.suppress(CorruptEvent):
            event = self._stored(at, found[0][1] if found else {}, id, version)
            # An event that an upcaster fails on is shown as it was stored.
            with contextlib.suppress(Exception):
                event = self.store.upcast(event)
        return Parked(
            at,
            event,
            error,
            int(failures),
            int(deliveries),
            datetime.fromtimestamp(int(ms) / 1000, UTC),
        )

    def _parked_positions(self, position: str | None) -> list[Any]:
        return [position] if position is not None else list(self._redis.hkeys(self._keys[3]))
