"""Durability: an intent counts once it would survive a crash of Redis."""

from __future__ import annotations

import time
from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.mailroom.errors import NotOnDisk
from eventlab.store.store import EventStore

WAIT_SECONDS: Final = 3.0  # for one WAITAOF: less than redis-py's socket_timeout
REMEDY: Final = "CONFIG SET appendonly yes, and appendfsync everysec (Redis 7.2 or newer) or always"


class DurableLog:
    """The append-only file of the Redis that stores a category, and the clock of that Redis.

    All routers share this clock. ``timeout`` is how many seconds an fsync may take.

    >>> log = DurableLog(store)
    >>> log.wait_until_fsynced()
    >>> log.now()
    1767225600000
    """

    def __init__(self, store: EventStore, *, timeout: float = 30.0) -> None:
        self._redis = store.redis
        self._stream = store.keys.stream
        self._probe = store.keys.fsync_probe
        self._timeout = timeout

    def now(self) -> int:
        """Return Redis's time in milliseconds since 1970."""
        seconds, microseconds = self._node().time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def wait_until_fsynced(self) -> None:
        """Return when everything that was appended before this call is on disk.

        Raises ``NotOnDisk``, which says what to configure, if Redis cannot promise that or takes
        too long.
        """
        end = time.monotonic() + self._timeout
        while not self._is_fsynced():
            if time.monotonic() > end:
                raise NotOnDisk(
                    f"Redis did not fsync its append-only file within {self._timeout:g} s: "
                    "check its disk"
                )

    def _is_fsynced(self) -> bool:
        # WAITAOF covers only what its own connection wrote, and the append may have used another
        # connection of the pool. The file is one sequence: a write here, after the append, is
        # fsynced only together with the append.
        pipeline = self._node().pipeline(transaction=False)
        pipeline.execute_command("SET", self._probe, 1)
        pipeline.execute_command("WAITAOF", 1, 0, int(min(WAIT_SECONDS, self._timeout) * 1000))
        try:
            _set, (local, _replicas) = pipeline.execute()
        except ResponseError as error:
            if "unknown command" in str(error):
                return self._is_always_fsynced()
            if "appendonly is disabled" in str(error):
                raise NotOnDisk(f"Redis has no append-only file: {REMEDY}") from None
            raise
        return int(local) >= 1

    def _is_always_fsynced(self) -> bool:
        # Before 7.2, Redis can only promise an fsync before each reply.
        try:
            config = {
                _text(key): _text(value)
                for key, value in self._node().config_get("append*").items()
            }
        except ResponseError:
            raise NotOnDisk(f"this Redis does not report whether it fsyncs: {REMEDY}") from None
        if (config.get("appendonly"), config.get("appendfsync")) != ("yes", "always"):
            raise NotOnDisk(f"this Redis does not report when it has fsynced: {REMEDY}")
        return True

    def _node(self) -> Any:
        """Return Redis itself or, in a cluster, the node that holds the category."""
        if not hasattr(self._redis, "get_node_from_key"):
            return self._redis
        return self._redis.get_redis_connection(self._redis.get_node_from_key(self._stream))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
