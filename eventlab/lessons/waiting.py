"""Wait for what other processes and servers do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 50.0  # shorter than the time limit of a cell, so that its error is seen
POLL_SECONDS = 0.005


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Return the first true value of a condition.

    Raises TimeoutError if it has none within ``seconds``.

    >>> wait_until(lambda: 3)
    3
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(
                f"the condition was still {found!r} after {seconds:g} s: run `eventlab doctor`"
            )
        time.sleep(POLL_SECONDS)
    return found
