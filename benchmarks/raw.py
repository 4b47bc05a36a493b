"""The raw limits: the bare command through the same client, with everything encoded and built before."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

from eventlab import Changes, EventStore, View

BATCH = 5000  # as the Projector's
Documents = Collection[dict[str, Any]]


def add(redis: Any, stream: str, text: bytes) -> int:
    """One XADD."""
    redis.xadd(stream, {"event": text})
    return 1


def add_many(redis: Any, stream: str, texts: Sequence[bytes]) -> int:
    """XADD for each, in one pipeline."""
    pipe = redis.pipeline(transaction=False)
    for text in texts:
        pipe.xadd(stream, {"event": text})
    pipe.execute()
    return len(texts)


def read(redis: Any, stream: str) -> int:
    """XRANGE of a whole stream, nothing decoded."""
    return len(redis.xrange(stream))


def snapshot_and_tail(redis: Any, key: bytes, stream: str) -> int:
    """GET, then XRANGE, nothing decoded."""
    redis.get(key)
    redis.xrange(stream)
    return 1


class Write(NamedTuple):
    """A batch of events, folded: the updates, and the position they lead to."""

    updates: list[UpdateOne]
    position: str
    events: int


def folded(store: EventStore, view: View) -> list[Write]:
    """All events of a category as the writes to be done."""
    return [_fold(view, batch) for batch in _batches(store.read_all())]


def _batches(events: Iterable[Any]) -> Iterator[list[Any]]:
    events = iter(events)
    while batch := list(itertools.islice(events, BATCH)):
        yield batch


def _fold(view: View, events: list[Any]) -> Write:
    changes = Changes()
    for event in events:
        view.apply(event, changes)
    updates = [
        UpdateOne({"_id": id}, change.update(), upsert=True) for id, change in changes.items()
    ]
    return Write(updates, events[-1].position, len(events))


def write(documents: Documents, states: Documents, writes: Iterable[Write]) -> int:
    """The folded writes, each in one transaction with its position, guarded by the old one."""
    position, done = "0-0", 0
    with documents.database.client.start_session() as session:
        for batch in writes:
            with session.start_transaction(write_concern=WriteConcern("majority")):
                mine = {"_id": documents.name, "position": position}
                states.update_one(mine, {"$set": {"position": batch.position}}, session=session)
                documents.bulk_write(batch.updates, ordered=False, session=session)
            position = batch.position
            done += batch.events
    return done
