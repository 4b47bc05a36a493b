"""Durability: no email is sent until the intent to send it would survive a Redis crash."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import ResponseError

from eventlab.errors import NotSettled
from eventlab.events import Recorded
from eventlab.mailroom.errors import IntentLost, NotOnDisk
from eventlab.store.settling import node_of
from eventlab.store.store import EventStore


class DurableLog:
    """The append-only file and the clock of the Redis server that stores a category.

    All routers share this clock. ``timeout`` is the maximum time for an fsync, in seconds.

    >>> log = DurableLog(store)
    >>> log.wait_until_fsynced()
    >>> log.now()
    1767225600000
    """

    def __init__(self, store: EventStore, *, timeout: float = 30.0) -> None:
        self._store = store
        self._timeout = timeout

    def now(self) -> int:
        """Return the time of the Redis server, in milliseconds since 1970."""
        seconds, microseconds = node_of(self._store.redis, self._store.keys.stream).time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def wait_until_fsynced(self, events: Sequence[Recorded] = ()) -> None:
        """Wait until everything that was appended before this call is on disk.

        If Redis has replicas, also wait until one of them has received the same events, because
        that replica may become the master. Then check that ``events``, which Redis acknowledged
        earlier, are still stored.

        Raises ``NotOnDisk`` if Redis cannot guarantee durability or takes too long; the error says
        what to configure. Raises ``IntentLost`` if a failover has lost one of the events.
        """
        replicas = min(1, self._replicas())
        try:
            self._store.settle(events, disk=1, replicas=replicas, timeout=self._timeout)
        except NotSettled as error:
            lost = any(self._is_lost(event) for event in events)
            raise (IntentLost if lost else NotOnDisk)(error.reason) from None

    def _is_lost(self, event: Recorded) -> bool:
        return self._store.read(event.id, after=event.version - 1, limit=1) != [event]

    def _replicas(self) -> int:
        node = node_of(self._store.redis, self._store.keys.stream)
        try:
            return int(node.info("replication")["connected_slaves"])
        except (ResponseError, KeyError):
            return 0  # the user lacks the permission, or the service does not report it
