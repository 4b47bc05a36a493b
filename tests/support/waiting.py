"""Wait for what other threads, processes and servers do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 300.0  # long enough for a busy machine; a test that passes never waits that long
POLL_SECONDS = 0.005
MAX_POLL_SECONDS = 0.05  # checking takes processor time that others need


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Return the first true value of a condition; fail if it has none within a time.

    >>> wait_until(lambda: 3)
    3
    """
    end = time.monotonic() + seconds
    poll = POLL_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, f"still {found!r} after {seconds:g} s"
        time.sleep(poll)
        poll = min(1.5 * poll, MAX_POLL_SECONDS)
    return found


def stays(condition: Callable[[], object], seconds: float) -> bool:
    """Return whether a condition is true during the whole of a time."""
    end = time.monotonic() + seconds
    while condition():
        if time.monotonic() > end:
            return True
        time.sleep(POLL_SECONDS)
    return False
