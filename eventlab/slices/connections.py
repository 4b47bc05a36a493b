"""How many connections of a client the slices of its views may use: the program needs some too."""

from __future__ import annotations

import threading
from typing import Any, Final
from weakref import WeakKeyDictionary

#: The parts of a pool that may wait for events, and that may do work. The rest is the program's.
WAITING: Final = 0.5
WORKING: Final = 0.25
UNLIMITED: Final = 1 << 20


class ConnectionLimit:
    """The connections that the slices of all views of one client may use at once.

    redis-py's pool has 100 connections at most by default, and two views have 128 slices.
    """

    def __init__(self, connections: int) -> None:
        self.waiting = threading.BoundedSemaphore(max(1, int(connections * WAITING)))
        self.working = threading.BoundedSemaphore(max(1, int(connections * WORKING)))


_limits: WeakKeyDictionary[Any, ConnectionLimit] = WeakKeyDictionary()
_lock = threading.Lock()


def limit_of(redis: Any) -> ConnectionLimit:
    """Return the limit that all views of a client share; a cluster's client has no limit."""
    pool = getattr(redis, "connection_pool", None)
    if pool is None:
        # Each node has a pool of its own, and slices that wait for a node that is down must not
        # hold up the others.
        return ConnectionLimit(UNLIMITED)
    with _lock:
        return _limits.setdefault(pool, ConnectionLimit(pool.max_connections))
