"""The original (Node.js, 2019), rewritten in Python with the clients that this project uses.

The rewrite has advantages over the original: it encodes JSON in C (with msgspec, or orjson for a
replay), it writes no log lines, and after a conflict, a writer reads from a single position for all
accounts. The original's version keys are the bare ids. Here, they have a prefix, so that they can
be removed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo.collection import Collection
from redis.exceptions import ResponseError, WatchError

from benchmarks.workload import DATA, EVENT, decode, encode
from eventlab.accounts import Account
from eventlab.events import decode_entry

GROUP = "accountStreamGroup"
CONSUMER = "accountProjector"
POLLING_SECONDS = 10.0


def publish(redis: Any, stream: str, id: str, version: int) -> bool:
    """Append an event with WATCH, GET, MULTI, INCR, XADD and EXEC; return False on a conflict."""
    key = f"{stream}/{id}"
    with redis.pipeline() as pipe:
        pipe.watch(key)
        if int(pipe.get(key) or 0) != version:
            return False
        event = {"id": id, "version": version + 1, "type": EVENT.type, **DATA}
        pipe.multi()
        pipe.incr(key)
        pipe.xadd(stream, {"event": encode(event)})
        try:
            pipe.execute()
        except WatchError:
            return False
    return True


class Writer:
    """A writer that reads the category's new events after a conflict.

    The original has no other way to find out a version.
    """

    def __init__(self, redis: Any, stream: str) -> None:
        self._redis = redis
        self._stream = stream
        self._position = b"0-0"
        self._versions: dict[str, int] = {}

    def write(self, id: str) -> int:
        """Publish one event, and retry until there is no conflict; return 1."""
        while not publish(self._redis, self._stream, id, self._versions.get(id, 0)):
            self._read_new_events()
        self._versions[id] = self._versions.get(id, 0) + 1
        return 1

    def _read_new_events(self) -> None:
        for _, entries in self._redis.xread({self._stream: self._position}):
            for self._position, fields in entries:
                event = decode(fields[b"event"])
                self._versions[event["id"]] = event["version"]


def replay(redis: Any, stream: str, id: str, *, decode: Callable[[bytes], Any]) -> Account:
    """Read and decode the whole category, apply one account's events, and return the account."""
    account = Account(id)
    [[_, entries]] = redis.xread({stream: "0-0"})
    for position, fields in entries:
        event = decode(fields[b"event"])
        if event["id"] == id:
            account.replay([decode_entry(position, fields)])
    return account


def subscribe(redis: Any, stream: str) -> None:
    """Move the consumer group to the beginning of the stream; create it if it does not exist."""
    try:
        redis.xgroup_create(stream, GROUP, "0")
    except ResponseError:
        redis.xgroup_setid(stream, GROUP, "0")


def project(redis: Any, stream: str, documents: Collection[dict[str, Any]], count: int) -> int:
    """Project up to `count` events, and return the number of events.

    For each event, this does an upsert, guarded by a list of timestamps, and an XACK.
    """
    [[_, entries]] = redis.xreadgroup(GROUP, CONSUMER, {stream: ">"}, count=count)
    for position, fields in entries:
        event = decode(fields[b"event"])
        timestamp = position.decode()
        documents.update_one(
            {"_id": event["id"], "timestamps": {"$ne": timestamp}},
            {"$inc": {"funds": event["amount"]}, "$addToSet": {"timestamps": timestamp}},
            upsert=True,
        )
        redis.xack(stream, GROUP, position)
    return len(entries)
