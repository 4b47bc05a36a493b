"""The size of a page: small enough not to block Redis or exhaust memory."""

from __future__ import annotations

from typing import Final

FIRST_PAGE: Final = 50  # whatever they weigh: Redis answers 50 events of 1 MiB in about 40 ms
MAX_PAGE: Final = 250  # the same for events of 200 kB, which may follow small ones
PAGE_BYTES: Final = 4 * 1024 * 1024
KEYS_PAGE: Final = 500  # keys to delete, ids to add, pending events to acknowledge


def next_page(count: int, weight: int) -> int:
    """Return how many events to read next, after a page of ``count`` with ``weight`` bytes.

    >>> next_page(50, 50 * 200), next_page(50, 50 * 200_000)
    (250, 20)
    """
    return max(1, min(MAX_PAGE, PAGE_BYTES * count // max(1, weight)))
