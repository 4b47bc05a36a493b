"""The CPU time of a call, converted to that of a quiet machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

#: The CPU time of ``_sum`` on a quiet machine with a core of about 3 GHz.
SUM_SECONDS = 0.06


def cpu_seconds(call: Callable[[], object], *, limit: float) -> float:
    """Return the CPU time of a call, which a test compares with a limit.

    If the time reaches the limit, the machine may be slow, or the garbage collector may have
    visited objects of other tests. So the call is repeated without the garbage collector, and its
    shortest time is divided by the slowness of the machine, which is measured with a sum.

    >>> cpu_seconds(lambda: sum(range(1000)), limit=1) < 1
    True
    """
    first = _seconds(call)
    if first < limit:
        return first
    collects = gc.isenabled()
    gc.disable()
    try:
        seconds = min(_seconds(call) for _ in range(3))
        slowness = min(_seconds(_sum) for _ in range(3)) / SUM_SECONDS
    finally:
        if collects:
            gc.enable()
    return seconds / max(1.0, slowness)


def _seconds(call: Callable[[], object]) -> float:
    start = time.thread_time()
    call()
    return time.thread_time() - start


def _sum() -> int:
    total = 0
    for number in range(1_000_000):
        total += number
    return total
