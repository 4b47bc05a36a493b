"""The disk: an intent counts when a Redis that loses its memory would still know it."""

from __future__ import annotations

import time
from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.mailroom.errors import NotOnDisk
from eventlab.store.store import EventStore

ONE_WAIT: Final = 3.0  # less than redis-py's socket_timeout
REMEDY: Final = "CONFIG SET appendonly yes, and appendfsync everysec (Redis 7.2 or newer) or always"


class Disk:
    """The append-only file of a category's Redis, and the clock of that Redis, which all routers share.

    ``patience`` is how many seconds the disk may take.

    >>> disk = Disk(store)
    >>> disk.settle()
    >>> disk.now()
    1767225600000
    """

    def __init__(self, store: EventStore, *, patience: float = 30.0) -> None:
        self._redis, self._stream, self._patience = store.redis, store.keys.stream, patience
        self._mark = store.keys.settled

    def now(self) -> int:
        """The time in milliseconds since 1970."""
        seconds, microseconds = self._node().time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def settle(self) -> None:
        """Return when all that was appended before is on the disk.

        Raises ``NotOnDisk``, which says what to set, when Redis does not promise that, or not in time.
        """
        end = time.monotonic() + self._patience
        while not self._settled():
            if time.monotonic() > end:
                raise NotOnDisk(
                    f"Redis has not written its append-only file for {self._patience:g} s: look at its disk"
                )

    def _settled(self) -> bool:
        # WAITAOF waits for what its own connection wrote, and the append may have gone over another one of the pool.
        # The file is one sequence: what is written here, after the append, takes it along to the disk.
        pipeline = self._node().pipeline(transaction=False)
        pipeline.execute_command("SET", self._mark, 1)
        pipeline.execute_command("WAITAOF", 1, 0, int(min(ONE_WAIT, self._patience) * 1000))
        try:
            _set, (local, _replicas) = pipeline.execute()
        except ResponseError as error:
            if "unknown command" in str(error):
                return self._always()
            if "appendonly is disabled" in str(error):
                raise NotOnDisk(f"Redis keeps no append-only file: {REMEDY}") from None
            raise
        return int(local) >= 1

    def _always(self) -> bool:
        # A Redis before 7.2: it can only promise that it writes before it answers.
        try:
            config = {
                _text(key): _text(value)
                for key, value in self._node().config_get("append*").items()
            }
        except ResponseError:
            raise NotOnDisk(f"this Redis does not say if it writes to the disk: {REMEDY}") from None
        if (config.get("appendonly"), config.get("appendfsync")) != ("yes", "always"):
            raise NotOnDisk(f"this Redis does not say when it has written to the disk: {REMEDY}")
        return True

    def _node(self) -> Any:
        """The Redis itself or, in a cluster, the node that holds the category."""
        if not hasattr(self._redis, "get_node_from_key"):
            return self._redis
        return self._redis.get_redis_connection(self._redis.get_node_from_key(self._stream))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
