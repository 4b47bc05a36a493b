"""Measure the calls per second of functions, for a chart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median


def rates(
    ways: Mapping[str, Callable[[], object]], *, rounds: int = 10, calls: int = 150
) -> dict[str, float]:
    """Return the calls per second of each function, as the median of several rounds.

    In each round, the functions run in turn, so that a slowdown of the machine affects all of them.
    """
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            for _ in range(calls):
                way()
            measured[name].append(calls / (time.perf_counter() - begin))
    return {name: median(some) for name, some in measured.items()}
