"""The result of a benchmark of eventlab, the bare command and the original."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from benchmarks.interleaving import Speeds, Spread, ratios

OURS = "ours"
LIMIT = "limit"
ORIGINAL = "original"


@dataclass(frozen=True)
class Ratio:
    """A comparison of eventlab with another way.

    ``against`` and ``way`` name the other way, and ``value`` is its result.
    """

    against: str
    way: str
    spread: Spread
    value: float
    required: float | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the median reaches the required ratio, or None if no ratio is required."""
        return None if self.required is None else self.spread.median >= self.required


@dataclass(frozen=True)
class Row:
    """The result of one benchmark.

    ``at_most`` is the upper limit of the value itself, if less is better.
    """

    name: str
    fsync: str
    unit: str
    ours: float
    ratios: list[Ratio] = field(default_factory=list)
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the value is within its limit, or None if it has no limit."""
        return None if self.at_most is None else self.ours <= self.at_most


@dataclass(frozen=True)
class Other:
    """A description of another way, and the required ratio of eventlab to it."""

    way: str
    required: float | None = None


def row_of(
    name: str,
    speeds: Speeds,
    others: dict[str, Other],
    *,
    fsync: str = "everysec",
    unit: str = "events/s",
) -> Row:
    """Return a row from the speeds of eventlab and of the ways named in ``others``."""
    compared = [
        Ratio(
            against,
            other.way,
            ratios(speeds, OURS, against),
            median(speeds[against]),
            other.required,
        )
        for against, other in others.items()
    ]
    return Row(name, fsync, unit, median(speeds[OURS]), compared)
