"""Limits the connections that views with slices use, to leave some for the rest of the program."""

from __future__ import annotations

import threading
from typing import Any, Final
from weakref import WeakKeyDictionary

#: The fractions of a pool for waiting and for working; the rest is left to the program.
WAITING: Final = 0.5
WORKING: Final = 0.25
UNLIMITED: Final = 1 << 20


class ConnectionLimit:
    """Limits the connections that all views of one client use for their slices at the same time.

    By default, redis-py's pool has at most 100 connections, and two views have 128 slices.
    """

    def __init__(self, connections: int) -> None:
        self.waiting = threading.BoundedSemaphore(max(1, int(connections * WAITING)))
        self.working = threading.BoundedSemaphore(max(1, int(connections * WORKING)))


_limits: WeakKeyDictionary[Any, ConnectionLimit] = WeakKeyDictionary()
_lock = threading.Lock()


def limit_of(redis: Any) -> ConnectionLimit:
    """Return the ConnectionLimit that all views of a client share (a cluster: unlimited)."""
    pool = getattr(redis, "connection_pool", None)
    if pool is None:
        # Each node has its own pool, and slices that wait for a node that is down must not delay
        # the other slices.
        return ConnectionLimit(UNLIMITED)
    with _lock:
        return _limits.setdefault(pool, ConnectionLimit(pool.max_connections))
