"""The consumer group of a subscription, and the scripts that change the subscription's keys."""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.errors import InvalidArgument, InvalidName, SubscriptionLost, Trimmed
from eventlab.store.keys import checked_name, checked_position, checked_subscription
from eventlab.store.scripts import RAW, Script
from eventlab.store.store import EventStore
from eventlab.store.stream import CategoryStream

WAITING: Final = "(waiting)"  # the consumer that holds events until they are due for a retry
#: The maximum number of events that one script acknowledges, replays or discards. In an ordered
#: subscription, the script also reads the next event of each aggregate, and stops after 4 MB,
#: because 500 events of 200 kB blocked Redis for 0.2 s.
PAGE: Final = 50
#: The files that a script includes in addition to shared.lua.
PARTS: Final = {
    "receive": ("lanes", "deliver"),
    "ack": ("lanes",),
    "discard": ("lanes",),
    "replay": ("lanes",),
}


class ConsumerGroup:
    """The consumer group of a subscription, as one consumer uses it."""

    def __init__(self, store: EventStore, name: str, consumer: str) -> None:
        self.store = store
        self.name = checked_subscription(name)
        self.consumer = checked_consumer(consumer)
        self.keys = [store.keys.stream, *store.keys.subscription(name), store.keys.logs]

    def create(self, start: str, *, ordered: bool) -> None:
        """Create the group unless it exists.

        Raises Trimmed if events after ``start`` were trimmed. A group can become ordered when it is
        created, or later while it has no unfinished or parked events. If ``ordered`` is True but
        the group cannot become ordered, raises InvalidArgument.
        """
        after = start if start == "$" else checked_position(start)
        new, as_asked = self.run("create", after, int(ordered))
        if not as_asked:
            raise InvalidArgument(
                f"subscription {self.name!r} is not ordered, and cannot become ordered while it "
                "has unfinished or parked events: acknowledge or discard them, then open it with "
                "ordered=True"
            )
        if not new or start == "$":
            return
        try:
            # Check this once the group exists: from then on, no trim goes past its position.
            list(CategoryStream(self.store.redis, self.store.keys).entries(after=start, limit=1))
        except Trimmed:
            self.store.forget_group(self.name)
            raise

    def run(self, name: str, *args: Any) -> Any:
        """Run a script and return its reply. Raises SubscriptionLost if the group is gone."""
        files = ["shared", *PARTS.get(name, ()), name]
        script = Script(*[f"subscriptions/{file}" for file in files])
        try:
            return script(self.store.redis, self.keys, [self.name, self.consumer, WAITING, *args])
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            raise SubscriptionLost(self.name) from error

    def run_in_pages(self, name: str, positions: list[str], *args: Any) -> int:
        """Run a script until it has handled all positions; return the sum of the returned counts.

        Each reply has a count and the number of positions that were handled. If the events are
        large, the script handles only part of a page.
        """
        total: int = 0
        while True:  # even without positions, to raise SubscriptionLost
            counted, handled = self.run(name, *args, *positions[:PAGE])
            total += counted
            positions = positions[handled:]
            if not positions:
                return total

    def parked(self) -> dict[bytes, bytes]:
        """Return the records of the parked events, keyed by position."""
        records: dict[bytes, bytes] = {}
        cursor = None
        while cursor != 0:
            scan = "HSCAN", self.keys[3], cursor or 0, "COUNT", PAGE
            cursor, page = self.store.redis.execute_command(*scan, **RAW)
            records |= page
        return records


def checked_consumer(name: str) -> str:
    """Return the name of a consumer. Raises InvalidName if the name is invalid or reserved."""
    if checked_name(name, "consumer") == WAITING.encode():
        raise InvalidName(
            f"consumer {name!r} is reserved for events that wait for a retry: use another name"
        )
    return name
