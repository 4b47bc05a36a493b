"""Time short slices of each way in turn, so that a slowdown affects all ways equally."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

Step = Callable[[], int]  # returns the number of units done
Way = Callable[[], float]  # runs one slice; returns units per second
Speeds = dict[str, list[float]]


class Spread(NamedTuple):
    """The median, quartiles, minimum and maximum of some values."""

    median: float
    lower: float
    upper: float
    lowest: float
    highest: float


def timed(step: Step, seconds: float = 0.0) -> Way:
    """Return a way that repeats a step for `seconds`, but at least once."""

    def way() -> float:
        done = 0
        begin = time.perf_counter()
        now = 0.0
        while now < begin + seconds or not done:
            done += step()
            now = time.perf_counter()
        return done / (now - begin)

    return way


def interleave(ways: Mapping[str, Way], *, rounds: int) -> Speeds:
    """Run all ways in each round, and return their speeds without those of the warm-up round.

    Each round begins with a different way.
    """
    names = list(ways)
    speeds: Speeds = {name: [] for name in names}
    with _without_old_garbage():
        for way in ways.values():
            way()
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                speeds[name].append(ways[name]())
    return speeds


@contextlib.contextmanager
def _without_old_garbage() -> Iterator[None]:
    # The garbage collector stays on, but must not scan the bench's own objects during a slice.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def ratios(speeds: Speeds, name: str, against: str) -> Spread:
    """Return the spread of the ratios of two ways' speeds, computed for each round."""
    return spread(
        [ours / theirs for ours, theirs in zip(speeds[name], speeds[against], strict=True)]
    )


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of some values.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    Spread(median=3.0, lower=2.0, upper=4.0, lowest=1.0, highest=5.0)
    """
    lower, median, upper = (
        statistics.quantiles(values, n=4, method="inclusive") if values[1:] else list(values) * 3
    )
    return Spread(median, lower, upper, min(values), max(values))
