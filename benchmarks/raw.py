"""The raw limits: bare commands sent by the same client, with all data encoded in advance."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

from eventlab import Changes, EventStore, View

BATCH_SIZE = 5000  # the same as the Projector's
Documents = Collection[dict[str, Any]]


def add(redis: Any, stream: str, text: bytes) -> int:
    """Add one entry with XADD; return 1."""
    redis.xadd(stream, {"event": text})
    return 1


def add_many(redis: Any, stream: str, texts: Sequence[bytes]) -> int:
    """Add entries with one XADD each in one pipeline; return the number of entries."""
    pipe = redis.pipeline(transaction=False)
    for text in texts:
        pipe.xadd(stream, {"event": text})
    pipe.execute()
    return len(texts)


def read(redis: Any, stream: str) -> int:
    """Read a whole stream with XRANGE without decoding it; return the number of entries."""
    return len(redis.xrange(stream))


def snapshot_and_tail(redis: Any, key: bytes, stream: str) -> int:
    """Read a snapshot with GET and a tail with XRANGE without decoding them; return 1."""
    redis.get(key)
    redis.xrange(stream)
    return 1


class Write(NamedTuple):
    """A folded batch of events, with its updates, its last position, and its number of events."""

    updates: list[UpdateOne]
    position: str
    events: int


def folded(store: EventStore, view: View) -> list[Write]:
    """Return the folded writes for all events of a category."""
    return [_fold(view, batch) for batch in _batches(store.read_all())]


def _batches(events: Iterable[Any]) -> Iterator[list[Any]]:
    events = iter(events)
    while batch := list(itertools.islice(events, BATCH_SIZE)):
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
    """Commit each write and its checkpoint in one transaction; return the number of events.

    Each update of the checkpoint requires the previous checkpoint.
    """
    position = "0-0"
    done = 0
    with documents.database.client.start_session() as session:
        for batch in writes:
            with session.start_transaction(write_concern=WriteConcern("majority")):
                checkpoint = {"_id": documents.name, "position": position}
                states.update_one(
                    checkpoint, {"$set": {"position": batch.position}}, session=session
                )
                documents.bulk_write(batch.updates, ordered=False, session=session)
            position = batch.position
            done += batch.events
    return done
