"""How much is measured: the whole, or less of it in less time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run; ``rounds`` are of slices that last ``seconds``, ``long_rounds`` of those that take longer."""

    seconds: float
    rounds: int
    long_rounds: int
    batch: int  # events per append in the row of many
    processes: int
    accounts: int  # of the races, and of the catch-up
    log: int  # events of one account that is replayed
    small_store: int
    large_store: int
    memory: tuple[tuple[int, int], ...]  # accounts x events
    view: int  # events to catch up on
    sample: int  # events of these that the original's way is given
    history: tuple[int, int]  # events per account: few, many
    followed: int  # accounts with such a history
    seen: int  # appends waited for


FULL = Sizes(
    seconds=0.1,
    rounds=31,
    long_rounds=7,
    batch=1000,
    processes=8,
    accounts=1000,
    log=1000,
    small_store=100_000,
    large_store=1_000_000,
    memory=((100, 1000), (10_000, 10)),
    view=100_000,
    sample=2000,
    history=(100, 10_000),
    followed=50,
    seen=200,
)

QUICK = Sizes(
    seconds=0.04,
    rounds=5,
    long_rounds=3,
    batch=1000,
    processes=8,
    accounts=1000,
    log=1000,
    small_store=20_000,
    large_store=100_000,
    memory=((20, 1000), (2000, 10)),
    view=20_000,
    sample=200,
    history=(100, 1000),
    followed=50,
    seen=30,
)
