"""A limit to the connections that the slices of views use: everything shares the client's pool."""

from __future__ import annotations

import threading
from typing import Any, Final
from weakref import WeakKeyDictionary

#: The parts of a pool that may wait for events, and that may do work. The rest is the program's.
WAITING: Final = 0.5
WORKING: Final = 0.25
UNLIMITED: Final = 1 << 20


class Room:
    """The connections that the slices of all views of one client may use at once.

    redis-py's pool has 100 connections at most by default, and two views have 128 slices.
    """

    def __init__(self, connections: int) -> None:
        self.waiting = threading.BoundedSemaphore(max(1, int(connections * WAITING)))
        self.working = threading.BoundedSemaphore(max(1, int(connections * WORKING)))


_rooms: WeakKeyDictionary[Any, Room] = WeakKeyDictionary()
_lock = threading.Lock()


def room_of(redis: Any) -> Room:
    """Return the room for slices in a client's pool; each node of a cluster has one of its own."""
    pool = getattr(redis, "connection_pool", None)
    if pool is None:
        # Not limited: slices that wait for a node that is down must not hold up the others.
        return Room(UNLIMITED)
    with _lock:
        return _rooms.setdefault(pool, Room(pool.max_connections))
