"""A row of the table: one work, done by this project, by the bare command and in the original's way."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from benchmarks.interleaving import Speeds, Spread, ratios

OURS, LIMIT, ORIGINAL = "ours", "limit", "original"


@dataclass(frozen=True)
class Ratio:
    """This project against another way: ``against`` says which, ``value`` is what the other way reached."""

    against: str
    way: str
    spread: Spread
    value: float
    required: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median is what is required; None if nothing is."""
        return None if self.required is None else self.spread.median >= self.required


@dataclass(frozen=True)
class Row:
    """What one work came to; ``at_most`` is for a work where little is good and the figure itself is required."""

    name: str
    fsync: str
    unit: str
    ours: float
    ratios: list[Ratio] = field(default_factory=list)
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the figure itself is what is required; None if nothing is."""
        return None if self.at_most is None else self.ours <= self.at_most


@dataclass(frozen=True)
class Other:
    """Another way, in words, and the ratio that is required against it."""

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
    """A row from the slices of its ways, ``ours`` and those named in ``others``."""
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
