"""A subscription: work that no transaction can hold, such as a call to someone else's system.

Each event is handed out until someone says that it is done: at least once, by competing consumers, in no order. So
whoever subscribes makes his work repeatable. What is unfinished lies in the pending list of a Redis consumer group;
what failed lies there too, under the name WAITING, until it is due again; what is parked has left it.
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

from eventlab.errors import CorruptEvent, InvalidName, Trimmed
from eventlab.events import Recorded, decode_entry, decode_rows, encode_json
from eventlab.store.keys import START, checked_name, checked_position, order
from eventlab.store.scripts import RAW, Script
from eventlab.store.store import EventStore
from eventlab.store.stream import CategoryStream

WAITING: Final = "(waiting)"  # the consumer that holds in the pending list what is not due yet
COUNTED: Final = 10_000  # new events up to which a lag is counted


@dataclass(frozen=True)
class Parked:
    """An event that was given up: its last error, how often it failed and was handed out, and when it was parked.

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
    """What a subscription has not finished: new, in work, and waiting for another try. Parked events are apart.

    It is exact, or an estimate: that of the new ones, when they are over 10,000.
    """

    new: int
    pending: int
    waiting: int
    parked: int
    exact: bool

    @property
    def events(self) -> int:
        """The number of events that are not finished."""
        return self.new + self.pending + self.waiting


class Subscription:
    """The events of a category for work outside, shared among all consumers that subscribe by the same name.

    ``consumer`` names this one: the same after a restart, and no two at once. A subscription that is not there yet
    begins at the first event, or after ``start``, a position or ``$`` (from now on). An object serves one thread.

    What was neither acked nor failed for ``claim_after`` seconds is taken for abandoned and given again, to
    any consumer; let
    it be longer than the work on all that one ``receive`` gives. What failed is given again after ``backoff`` seconds,
    doubled with each failure. It is parked when it has failed ``max_failures`` times, or was handed out
    ``max_deliveries`` times
    (3 or more) with no word from its consumer.

    Raises Trimmed when events after ``start`` are gone, InvalidName.

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
        # Three deliveries: two in a batch, one alone, or an event that kills would be given up with its neighbours.
        if (
            checked_name(consumer, "consumer") == WAITING.encode()
            or min(claim_after, backoff, max_failures) <= 0
            or max_deliveries < 3
        ):
            raise InvalidName(
                f"{consumer=}, {claim_after=}, {backoff=}, {max_failures=}, {max_deliveries=}: see what each may be"
            )
        self.store, self.name, self.consumer = store, name, consumer
        self._claim_after, self._max_failures = claim_after, max_failures
        self._max_deliveries, self._backoff = max_deliveries, backoff
        self._redis, self._keys = store.redis, [store.keys.stream, *store.keys.subscription(name)]
        self._turn, self._held = (
            0,
            dict[str, float](),
        )  # handed out by this object: positions, until when it counts
        # A read that blocks as long as the client waits for an answer would be taken for a dead server.
        timeout = self._redis.get_connection_kwargs().get("socket_timeout")
        self._slice = min(1.0, (timeout or math.inf) / 2)
        self._begin(start if start == "$" else checked_position(start))

    def _begin(self, start: str) -> None:
        try:
            self._redis.xgroup_create(self._keys[0], self.name, start, mkstream=True)
            if start != "$":  # asked when the group is there: from then on no trim passes it
                list(CategoryStream(self._redis, self.store.keys).entries(after=start, limit=1))
        except Trimmed:
            self.store.forget_group(self.name)
            raise
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    # -------------------------------------------------------------------- work

    def receive(self, count: int = 10, *, block: float | None = None) -> list[Recorded]:
        """Up to ``count`` events: first this consumer's own unfinished, then those due again, a dead one's, new ones.

        Each kind leaves a share of ``count`` to the next, so none holds up another. If there is nothing, it waits up to
        ``block`` seconds for news. An event that was handed out twice in vain comes alone: should it kill its consumer,
        no other event is counted with it. What cannot be read is parked.

        >>> [event.type for event in letters.receive(2)]
        ['create', 'deposit']
        """
        if count < 1 or (block or 0) < 0:
            raise InvalidName(
                f"{count=}, {block=}: at least one event, and seconds that are not negative"
            )
        end = time.monotonic() + (block or 0)
        while True:
            rows, news, pause = self._take(count)
            events = [event for row in rows if (event := self._open(*row)) is not None]
            left = end - time.monotonic()
            if events or (not rows and left <= 0):
                self._held |= {
                    event.position: time.monotonic() + self._claim_after for event in events
                }
                return events
            ms = max(
                1, math.ceil(min(left, self._slice, pause / 1000) * 1000)
            )  # 0 would be for ever
            self._redis.execute_command(
                "XREAD", "COUNT", 1, "BLOCK", ms, "STREAMS", self._keys[0], news, **RAW
            )

    def ack(self, events: Iterable[Recorded]) -> None:
        """The events are done; once more does no harm.

        >>> letters.ack(letters.receive())
        """
        positions = [event.position for event in events]
        self._run("ack", *positions)
        for position in positions:
            self._held.pop(position, None)

    def fail(self, event: Recorded, error: Exception | str) -> bool:
        """The work on an event failed: it is given again after a pause, or parked if that was its last try (True).

        An event that someone has finished meanwhile stays finished.

        >>> letters.fail(event, ConnectionError("no answer"))
        False
        """
        self._held.pop(event.position, None)
        return self._fail(event.position, event.id, event.version, error, 1, self._max_failures)

    def close(self) -> bool:
        """Leave; True if this consumer is gone, False if it holds events, which are given again.

        >>> letters.close()
        True
        """
        return bool(self._run("leave", self.consumer))

    # ------------------------------------------------------------------ parked

    def parked(self) -> list[Parked]:
        """The events that were parked, in the order of their positions.

        >>> [(parked.event.id, parked.error) for parked in letters.parked()]
        [('JohnDoe', 'MailError: no such street')]
        """
        records = self._redis.execute_command("HGETALL", self._keys[3], **RAW)
        return sorted(
            (self._parked(*record) for record in records.items()),
            key=lambda parked: order(parked.position),
        )

    def replay(self, position: str | None = None) -> int:
        """Give a parked event again, or all of them, their failures forgotten; returns how many.

        >>> letters.replay("1551312847014-0")
        1
        """
        return int(self._run("replay", WAITING, *self._named(position)))

    def discard(self, position: str | None = None) -> int:
        """Give up a parked event for good, or all of them; returns how many. The event itself stays in the store.

        >>> letters.discard("1551312847014-0")
        1
        """
        positions = self._named(position)
        return (
            int(self._redis.execute_command("HDEL", self._keys[3], *positions)) if positions else 0
        )

    def lag(self) -> Lag:
        """How many events are not finished.

        >>> letters.lag()
        Lag(new=2, pending=1, waiting=0, parked=1, exact=True)
        """
        new, pending, waiting, parked, exact = self._run("lag", WAITING, COUNTED)
        return Lag(new, pending, waiting, parked, bool(exact))

    # -------------------------------------------------------------------------

    def _run(self, name: str, *args: Any) -> Any:
        return Script(f"subscriptions/{name}")(self._redis, self._keys, [self.name, *args])

    def _take(self, count: int) -> Any:
        now, idle = time.monotonic(), math.ceil(self._claim_after * 1000)
        self._held = {position: until for position, until in self._held.items() if until > now}
        turn, self._turn = (
            (self._turn % 4 if count < 8 else 0),
            self._turn + 1,
        )  # too few for a share each: by turns
        return self._run("receive", self.consumer, WAITING, count, idle, turn, *self._held)

    def _open(
        self, position: bytes, fields: list[bytes], in_vain: int, kept: bytes
    ) -> Recorded | None:
        """An event to hand out; or None, and it is parked: it may kill its consumer, or cannot be read."""
        at, (id, version, _) = position.decode(), msgspec.json.decode(kept)
        error: object = (
            f"handed out {in_vain} times, and neither acked nor failed: it may kill its consumer"
        )
        try:
            event = self._stored(at, dict(zip(fields[::2], fields[1::2], strict=True)), id, version)
            id, version = event.id, event.version
            if in_vain < self._max_deliveries:
                return self.store.upcast(event)
        except RedisError:
            raise
        except Exception as raised:  # noqa: BLE001 - an upcaster is its author's code: whatever it raises is kept
            error = raised
        self._fail(at, id, version, error, 0, 0)
        return None

    def _stored(
        self, at: str, fields: Mapping[bytes, bytes], id: str | None, version: int
    ) -> Recorded:
        """An event as it was stored: from its entry, or when that is trimmed, from the own log."""
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
        self, at: str, id: str | None, version: int, error: object, failures: int, limit: int
    ) -> bool:
        text = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        kept = encode_json([id, version, text[:2000].encode(errors="replace").decode()])
        jitter = random.uniform(0.75, 1.25)  # so that what failed together is not due together
        return bool(
            self._run("fail", WAITING, at, failures, limit, self._backoff * 1000 * jitter, kept)
        )

    def _parked(self, position: bytes, record: bytes) -> Parked:
        failures, deliveries, ms, kept = record.split(b" ", 3)
        at, (id, version, error), event = position.decode(), msgspec.json.decode(kept), None
        found = self._redis.execute_command("XRANGE", self._keys[0], at, at, **RAW)
        with contextlib.suppress(CorruptEvent):
            event = self._stored(at, found[0][1] if found else {}, id, version)
            with contextlib.suppress(
                Exception
            ):  # what an upcaster chokes on is shown as it was stored
                event = self.store.upcast(event)
        return Parked(
            at,
            event,
            error,
            int(failures),
            int(deliveries),
            datetime.fromtimestamp(int(ms) / 1000, UTC),
        )

    def _named(self, position: str | None) -> list[Any]:
        return [position] if position is not None else list(self._redis.hkeys(self._keys[3]))
