"""The data for the pages. Each call reads a limited part of Redis or MongoDB, and never writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, ParamSpec, TypeVar

from pymongo.database import Database

from eventlab.aggregate import Aggregate
from eventlab.errors import CorruptEvent
from eventlab.events import Recorded, decode_entry
from eventlab.observe.lag import (
    Glance,
    StreamGlance,
    SubscriptionState,
    appended,
    subscriptions_of,
)
from eventlab.slices.store import stored_slices
from eventlab.store.keys import START, order
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore

PAGE: Final = 50  # events on a page, whatever their size
SLICE_PAGE: Final = 5  # events of each slice
IDS_PAGE: Final = 100
MAX_REPLAYED: Final = 20_000  # events to compute a state, which takes about 0.1 s

NewAggregate = Callable[[str], Aggregate]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Mailroom:
    """A mailroom: its category, and functions that read its counts and the emails in one state."""

    category: str
    counts: Callable[[], Mapping[str, int]]
    mails: Callable[[str], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class CategorySummary:
    """A category with its counts; ``newest`` is the time of its newest event."""

    name: str
    aggregates: int
    events: int
    newest: datetime | None


@dataclass(frozen=True)
class StreamEntry:
    """An entry of the category stream: an event, or the reason why it is not an event."""

    position: str
    event: Recorded | None
    problem: str = ""


@dataclass(frozen=True)
class Moment:
    """An aggregate at a version: the page of events around the version, and the state."""

    version: int
    newest: int
    events: Sequence[Recorded]
    state: Mapping[str, Any] | None
    problem: str = ""

    @property
    def event(self) -> Recorded:
        """The event at this version."""
        return self.events[self.version - self.events[0].version]


@dataclass(frozen=True)
class Pending:
    """An event that a consumer has received but not acknowledged."""

    position: str
    consumer: str
    idle_seconds: float
    deliveries: int
    event: Recorded | None


class Source:
    """The categories that the pages show, on one Redis and one MongoDB.

    ``aggregates`` maps each category to the class that computes the state of its aggregates.
    """

    def __init__(
        self,
        redis: Any,
        mongo: Database[dict[str, Any]],
        categories: Sequence[str],
        aggregates: Mapping[str, NewAggregate],
        mailrooms: Sequence[Mailroom] = (),
    ) -> None:
        self.redis = redis
        self.mongo = mongo
        self.stores = {
            name: EventStore(redis, name, slices=stored_slices(redis, name)) for name in categories
        }
        self.mailrooms = mailrooms
        self._aggregates = aggregates

    def store(self, category: str) -> EventStore | None:
        """Return the store of a category, or None if the pages do not show the category."""
        return self.stores.get(category)

    def categories(self) -> list[CategorySummary]:
        """Return a summary of each category."""
        found = list[CategorySummary]()
        for name, store in self.stores.items():
            count = sum(
                one.redis.execute_command("SCARD", one.keys.ids, **RAW)
                for one in store.all_slices()
            )
            head = store.head()
            newest = datetime.fromtimestamp(order(head)[0] / 1000, UTC) if head != START else None
            found.append(CategorySummary(name, count, appended(store), newest))
        return found

    def ids(self, store: EventStore, cursor: int) -> tuple[list[str], int]:
        """Return a page of the ids of a category, and the cursor of the next page.

        Only the ids within a page are sorted. Pass the cursor 0 for the first page; a returned 0
        means that there are no more pages.
        """
        slices = store.all_slices()
        position, number = divmod(cursor, len(slices))
        found = list[str]()
        while number < len(slices) and len(found) < IDS_PAGE:
            command = "SSCAN", slices[number].keys.ids, position, "COUNT", IDS_PAGE
            following, page = self.redis.execute_command(*command, **RAW)
            found += [id.decode(errors="replace") for id in page]
            position = int(following)
            number += position == 0
        at_end = number == len(slices)
        return sorted(found), 0 if at_end else position * len(slices) + number

    def newest(self, store: EventStore, before: str | None) -> list[StreamEntry]:
        """Return the newest entries of the stream, or those before a position, newest first."""
        end = "+" if before is None else f"({before}"
        slices = store.all_slices()
        count = PAGE if len(slices) == 1 else SLICE_PAGE
        found = list[StreamEntry]()
        oldest = order(START)  # an earlier entry of one slice may follow later ones of another
        for one in slices:
            command = "XREVRANGE", one.keys.stream, end, "-", "COUNT", count
            page = [_entry(*row) for row in self.redis.execute_command(*command, **RAW)]
            found += page
            if len(page) == count:
                oldest = max(oldest, order(page[-1].position))
        # Do not limit the page further, because two slices may have events at the same position.
        found.sort(key=lambda entry: order(entry.position), reverse=True)
        return [entry for entry in found if order(entry.position) >= oldest]

    def moment(self, store: EventStore, id: str, version: int | None) -> Moment | None:
        """Return an aggregate at a version (default: newest), or None if it has no events."""
        newest = store.version(id)
        if newest == 0:
            return None
        version = newest if version is None else max(1, min(version, newest))
        after = (version - 1) // PAGE * PAGE
        events = store.read(id, after=after, limit=PAGE)
        state: Mapping[str, Any] | None = None
        problem = ""
        make = self._aggregates.get(store.category)
        if make is None:
            problem = "No class is known for this category: start eventlab ui with --reader."
        elif version > MAX_REPLAYED:
            problem = (
                f"The page replays at most {MAX_REPLAYED:,} events: to see the state after more"
                " events, run eventlab show."
            )
        else:
            pages = store.pages(id, limit=version)
            state, problem = _state_after((page.events for page in pages), make, id)
        return Moment(version, newest, events, state, problem)

    def subscriptions(self) -> list[tuple[str, str, SubscriptionState]]:
        """Return the category, the name and the state of each subscription."""
        return [
            (name, one.name, one.state())
            for name, store in self.stores.items()
            for one in subscriptions_of(store)
        ]

    def subscription(self, store: EventStore, name: str) -> Glance | None:
        """Return a subscription, or None if the category has no subscription of that name."""
        return next((one for one in subscriptions_of(store) if one.name == name), None)

    def pending(self, glance: Glance, after: str | None) -> tuple[list[Pending], str | None]:
        """Return a page of the pending events of a subscription, oldest first.

        The second value is the position after which the next page begins, or None at the end.
        """
        count = PAGE if len(glance.parts) == 1 else SLICE_PAGE
        found = list[Pending]()
        newest: str | None = None  # a later event of one slice may follow earlier ones of another
        for part in glance.parts.values():
            page = self._pending(part, after, count)
            found += page
            if len(page) == count:
                newest = min(newest or page[-1].position, page[-1].position, key=order)
        found.sort(key=lambda one: order(one.position))
        if newest is None:
            return found, None
        return [one for one in found if order(one.position) <= order(newest)], newest

    def _pending(self, part: StreamGlance, after: str | None, count: int) -> list[Pending]:
        begin = "-" if after is None else f"({after}"
        command = "XPENDING", part.store.keys.stream, part.name, begin, "+", count
        rows = self.redis.execute_command(*command, parse_detail=True, **RAW)
        return [
            Pending(
                position := row["message_id"].decode(),
                row["consumer"].decode(errors="replace"),
                row["time_since_delivered"] / 1000,
                row["times_delivered"],
                self._at(part.store, position),
            )
            for row in rows
        ]

    def _at(self, store: EventStore, position: str) -> Recorded | None:
        command = "XRANGE", store.keys.stream, position, position
        found = self.redis.execute_command(*command, **RAW)
        return _entry(*found[0]).event if found else None


def _entry(position: bytes, fields: dict[bytes, bytes]) -> StreamEntry:
    try:
        return StreamEntry(position.decode(), decode_entry(position, fields))
    except CorruptEvent as error:
        return StreamEntry(position.decode(), None, str(error))


def _state_after(
    pages: Iterable[Sequence[Recorded]], make: NewAggregate, id: str
) -> tuple[Mapping[str, Any] | None, str]:
    try:
        aggregate = _called(make, id)
        for events in pages:  # not inside _called, because the store's errors are not the class's
            _called(aggregate.replay, events)
        return _called(aggregate.state), ""
    except _ClassFailed as failed:
        return None, str(failed)


class _ClassFailed(Exception):
    """A user's class raised an exception."""


def _called(
    call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call a user's class and return the result; raise _ClassFailed for any exception."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        text = f"The class cannot apply these events: {type(error).__name__}: {error}"
        raise _ClassFailed(text) from error
