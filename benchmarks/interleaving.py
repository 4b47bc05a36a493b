"""Slices: short pieces of work, timed in turn, so that a slow moment of the machine meets all ways alike."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

Step = Callable[[], int]
Way = Callable[[], float]  # one slice: work for a moment, and say how many units a second were done
Speeds = dict[str, list[float]]


class Spread(NamedTuple):
    """A median, and the quartiles and ends around it."""

    median: float
    lower: float
    upper: float
    lowest: float
    highest: float


def timed(step: Step, seconds: float = 0.0) -> Way:
    """A way that repeats a step for so long (at least once); a step says how many units it did.

    >>> timed(lambda: 1, 0.1)() > 0
    True
    """

    def way() -> float:
        done, begin, now = 0, time.perf_counter(), 0.0
        while now < begin + seconds or not done:
            done += step()
            now = time.perf_counter()
        return done / (now - begin)

    return way


def interleave(ways: Mapping[str, Way], *, rounds: int) -> Speeds:
    """Run the ways in turn, each round beginning with another one; the first round is for warming up."""
    names = list(ways)
    speeds: Speeds = {name: [] for name in names}
    with _own_garbage_only():
        for way in ways.values():
            way()
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                speeds[name].append(ways[name]())
    return speeds


@contextlib.contextmanager
def _own_garbage_only() -> Iterator[None]:
    # The collector stays on, but what the bench itself holds is none of a way's business to look through.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def ratios(speeds: Speeds, name: str, against: str) -> Spread:
    """How many times as fast one way is as another, slice by slice of the same round."""
    return spread(
        [ours / theirs for ours, theirs in zip(speeds[name], speeds[against], strict=True)]
    )


def spread(values: Sequence[float]) -> Spread:
    """The spread of some values.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    Spread(median=3.0, lower=2.0, upper=4.0, lowest=1.0, highest=5.0)
    """
    lower, median, upper = (
        statistics.quantiles(values, n=4, method="inclusive") if values[1:] else list(values) * 3
    )
    return Spread(median, lower, upper, min(values), max(values))
