"""Wait until a condition on other processes or servers is true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 120.0  # shorter than a cell's time limit, so that the error is shown
POLL_SECONDS = 0.005


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Call ``condition`` until it returns a true value, and return that value.

    Raises TimeoutError if ``condition`` returns no true value within ``seconds``.

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
