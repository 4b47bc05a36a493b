"""Computes page sizes that are small enough not to block Redis or exhaust memory."""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import ResponseError

FIRST_PAGE: Final = 50  # events of any size: Redis returns 50 events of 1 MiB in about 40 ms
MAX_PAGE: Final = 250  # events: as fast with events of 200 kB, which may follow small events
LIGHT_PAGE: Final = 1000  # events, for a key of at most LIGHT_BYTES
LIGHT_BYTES: Final = 32 * 1024 * 1024  # Redis sends this much in about 25 ms
PAGE_BYTES: Final = 4 * 1024 * 1024
KEYS_PAGE: Final = 500  # keys to delete, ids to add, or pending events to acknowledge


def next_page(count: int, weight: int, most: int = MAX_PAGE) -> int:
    """Return how many events to read next, after ``count`` events of ``weight`` bytes in total.

    >>> next_page(50, 50 * 200), next_page(50, 50 * 200_000)
    (250, 20)
    """
    return max(1, min(most, PAGE_BYTES * count // max(1, weight)))


def largest_page(redis: Any, key: bytes) -> int:
    """Return the maximum number of events to read at once from a key of the current size."""
    try:
        size = redis.memory_usage(key, samples=0)  # 0: measure all elements
    except ResponseError:  # the command is not permitted or not available
        return MAX_PAGE
    return LIGHT_PAGE if size is not None and size <= LIGHT_BYTES else MAX_PAGE
