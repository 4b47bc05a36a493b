"""A category in 64 slices, with one store per slice, spread over the shards of a cluster.

Each slice is a category stream with its own aggregate logs, in one slot of the cluster. The store
of a slice handles every call about one of its aggregates. Events are ordered within a slice, and
therefore within an aggregate, but not between slices.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from redis import Redis
from redis.cluster import RedisCluster

from eventlab.errors import CommandRejected, InvalidArgument
from eventlab.events import Event, Recorded
from eventlab.store.appends import Write
from eventlab.store.keys import SLICES, START, Keys, checked_counts, order
from eventlab.store.logs import Tail
from eventlab.store.paging import KEYS_PAGE
from eventlab.store.sealing import Protects
from eventlab.store.settling import settle
from eventlab.store.slices import ONE, register, slice_number
from eventlab.store.store import EventStore, Expected, Upcaster
from eventlab.store.waiting import wait_for_any


def stored_slices(redis: Redis | RedisCluster, category: str) -> int:
    """Return the number of slices that a category has, or 1 if it has no events yet.

    >>> stored_slices(lab.redis, "accountStream")
    1
    """
    return SLICES if redis.exists(Keys(category).slices) else ONE


def open_store(redis: Redis | RedisCluster, category: str) -> EventStore:
    """Return a store for a category, with the number of slices that the category has."""
    return EventStore(redis, category, slices=stored_slices(redis, category))


class Slice(EventStore):
    """The store of one slice of a category."""

    def __init__(
        self,
        redis: Redis | RedisCluster,
        category: str,
        number: int,
        *,
        clock: Callable[[], int] | None,
        upcasters: Sequence[Upcaster],
        protection: Protects | None,
    ) -> None:
        self._number = number
        super().__init__(redis, category, clock=clock, upcasters=upcasters, protection=protection)


class SlicedStore(EventStore):
    """The events of one category, in 64 slices; see EventStore."""

    def __init__(
        self,
        redis: Redis | RedisCluster,
        category: str,
        *,
        slices: int = SLICES,
        clock: Callable[[], int] | None = None,
        upcasters: Sequence[Upcaster] = (),
        protection: Protects | None = None,
    ) -> None:
        super().__init__(
            redis,
            category,
            slices=slices,
            clock=clock,
            upcasters=upcasters,
            protection=protection,
        )
        self._all = [
            Slice(redis, category, number, clock=clock, upcasters=upcasters, protection=protection)
            for number in range(slices)
        ]

    def __repr__(self) -> str:
        return f"EventStore({self.category!r}, slices={self.slices})"

    def slice_of(self, id: str) -> EventStore:
        """Return the store of an aggregate's slice."""
        return self._all[slice_number(id)]

    def all_slices(self) -> Sequence[EventStore]:
        """Return the stores of all slices, in the order of their numbers."""
        return self._all

    # ------------------------------------------------------------------ write

    def append(
        self,
        id: str,
        events: Sequence[Event],
        *,
        expected: int | Expected,
        token: str | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        newest: tuple[str, str] | None = None,
    ) -> list[Recorded]:
        """Store the events as the next versions of one aggregate, all or nothing."""
        return self.slice_of(id).append(
            id,
            events,
            expected=expected,
            token=token,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            newest=newest,
        )

    def commit(
        self,
        writes: Sequence[Write],
        *,
        guards: Mapping[str, int] | None = None,
        token: str | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
    ) -> dict[str, list[Recorded]]:
        """Append to several aggregates of one slice, all or nothing; return the events by id.

        Raises InvalidArgument if the aggregates are in several slices.
        """
        ids = [*(write.id for write in writes), *(guards or {})]
        return self._together(ids).commit(
            writes,
            guards=guards,
            token=token,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )

    def _together(self, ids: Sequence[str]) -> EventStore:
        if not ids:
            raise InvalidArgument(
                "ids is missing: pass the ids of the commit's aggregates, which determine its slice"
            )
        return self._all[_check_together(self.category, ids)]

    def seen(self, id: str, key: str, *, fingerprint: str | None = None) -> list[Recorded] | None:
        """Return the events that were appended under an idempotency key, or None for a new key."""
        return self.slice_of(id).seen(id, key, fingerprint=fingerprint)

    def seen_commit(
        self, key: str, *, fingerprint: str | None = None, ids: Sequence[str] = ()
    ) -> dict[str, list[Recorded]] | None:
        """Return the events that were committed to ``ids`` under a key, or None for a new key."""
        return self._together(ids).seen_commit(key, fingerprint=fingerprint)

    def reject(
        self, id: str, key: str, rejection: CommandRejected | None, *, fingerprint: str
    ) -> list[Recorded]:
        """Store a rejection as the outcome under an idempotency key, and raise the rejection."""
        return self.slice_of(id).reject(id, key, rejection, fingerprint=fingerprint)

    def reject_commit(
        self,
        key: str,
        rejection: CommandRejected | None,
        *,
        fingerprint: str,
        ids: Sequence[str] = (),
    ) -> dict[str, list[Recorded]]:
        """Store a rejection as the outcome of a commit to ``ids``, and raise the rejection."""
        return self._together(ids).reject_commit(key, rejection, fingerprint=fingerprint)

    def settle(
        self,
        events: Sequence[Recorded] = (),
        *,
        disk: int = 1,
        replicas: int = 0,
        timeout: float = 30.0,
    ) -> None:
        """Wait until earlier appends are on ``disk`` disks and on ``replicas`` replicas.

        With ``events``, the method waits only for the slices of these events. Otherwise, it waits
        for every shard.
        """
        checked_counts(disk=disk, replicas=replicas)
        parts: dict[EventStore, list[Recorded]] = {}
        for event in events:
            parts.setdefault(self.slice_of(event.id), []).append(event)
        for part, its_events in parts.items():
            part.settle(its_events, disk=disk, replicas=replicas, timeout=timeout)
        if not events:
            for part in self._one_per_shard():
                settle(self.redis, part.keys, disk=disk, replicas=replicas, timeout=timeout)

    def _one_per_shard(self) -> list[Slice]:
        if not hasattr(self.redis, "get_node_from_key"):
            return self._all[:1]
        shards = {self.redis.get_node_from_key(part.keys.stream).name: part for part in self._all}
        return list(shards.values())

    # ------------------------------------------------------------------- read

    def read(
        self, id: str, *, after: int = 0, limit: int | None = None, reverse: bool = False
    ) -> list[Recorded]:
        """Return the events of one aggregate with versions above ``after``, oldest first."""
        return self.slice_of(id).read(id, after=after, limit=limit, reverse=reverse)

    def pages(self, id: str, *, after: int = 0, limit: int | None = None) -> Iterator[Tail]:
        """Yield the events that ``read`` returns, with their tokens, in pages of limited size."""
        return self.slice_of(id).pages(id, after=after, limit=limit)

    def read_all(self, *, after: str = START, limit: int | None = None) -> Iterator[Recorded]:
        """Yield every event of the category after a position, ordered by the time of the append.

        Events in two slices may have the same position, and the clocks of two shards may differ. If
        you want to resume reading later, read each of ``all_slices()`` after its own position.
        """
        checked_counts(limit=limit)
        found = [part.read_all(after=after, limit=limit) for part in self._all]
        return islice(heapq.merge(*found, key=lambda event: order(event.position)), limit)

    def wait(self, *, after: str, seconds: float) -> bool:
        """Wait for an event after a position in any slice; return False if none arrives in time."""
        streams = {part.keys.stream: after for part in self._all}
        return wait_for_any(self.redis, streams, seconds)

    def version(self, id: str) -> int:
        """Return an aggregate's version (the number of its events), or 0 if it does not exist."""
        return self.slice_of(id).version(id)

    def ids(self) -> list[str]:
        """Return the ids of all aggregates of the category, sorted."""
        return sorted(id for part in self._all for id in part.ids())

    def head(self) -> str:
        """Return the newest position of all slices, or ``0-0`` before the first event."""
        return max((part.head() for part in self._all), key=order)

    def lacks(self, position: str) -> bool:
        """Return True if the event at a position is missing from every slice.

        If you know the slice of the event, call ``lacks`` on the store of that slice.
        """
        return all(part.lacks(position) for part in self._all)

    # --------------------------------------------------------------- maintain

    def trim(self, *, before: str) -> int:
        """Drop the events before a position from all slices, and return their number.

        Raises TrimRefused if a group has not finished the events of a slice. In that case, the
        slices with lower numbers have already been trimmed.
        """
        return sum(part.trim(before=before) for part in self._all)

    def forget_group(self, name: str) -> bool:
        """Delete a group in all slices; return False if no slice has the group."""
        return sum(part.forget_group(name) for part in self._all) > 0

    def adopt(self, *, renumber: bool = False) -> int:  # noqa: ARG002 - it always raises
        """Raise InvalidArgument, because an adopted category always has one slice."""
        raise InvalidArgument(
            f"{self.category!r} was opened with slices={self.slices}, but a category that another "
            "program wrote has only one slice: adopt it with EventStore(..., slices=1)"
        )

    def verify(self) -> list[Recorded]:
        """Return the events that are in the stream of a slice but not in its aggregate logs."""
        return [event for part in self._all for event in part.verify()]

    def drop(self) -> None:
        """Delete the category with its events and groups.

        Before you call this, stop all programs that write to the category or read it.
        """
        register(self.redis, self._all[0].keys)  # raises SlicesMismatch
        found = self.redis.scan_iter(match=self.keys.all_slices(), count=KEYS_PAGE)
        while page := list(islice(found, KEYS_PAGE)):
            owned = [key for key in page if self.keys.owns(_as_bytes(key))]
            if owned:
                self.redis.unlink(*owned)
        # Delete this key last: until then, nobody can create the category with one slice.
        self.redis.unlink(self.keys.slices)
        super().drop()


def _as_bytes(key: bytes | str) -> bytes:
    """Return a key as bytes, whether or not the client has decoded it."""
    return key if isinstance(key, bytes) else key.encode()


def _check_together(category: str, ids: Sequence[str]) -> int:
    """Return the number of the slice that contains all these aggregates.

    Raises InvalidArgument if the aggregates are in different slices.
    """
    first, *others = ids
    number = slice_number(first)
    for id in others:
        if slice_number(id) != number:
            raise InvalidArgument(
                f"{first!r} is in slice {number} of {category!r} and {id!r} is in slice "
                f"{slice_number(id)}, but all ids of a commit must be in the same slice: use ids "
                "with the same text before the first '/', as in 'customer7/account1'"
            )
    return number
