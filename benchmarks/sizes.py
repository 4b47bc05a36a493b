"""The sizes of a full run, and of a quick run with less data and fewer slices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run.

    A slice lasts ``seconds`` and is repeated ``rounds`` times; slices that take longer are repeated
    ``long_rounds`` times.
    """

    seconds: float
    rounds: int
    long_rounds: int
    batch: int  # events per call when many are appended
    processes: int
    accounts: int  # accounts in the races and in the views
    log: int  # events of a replayed account
    small_store: int
    large_store: int
    memory: tuple[tuple[int, int], ...]  # pairs of accounts and events per account
    view: int  # events to catch up on
    sample: int  # the number of these that the original processes
    history: tuple[int, int]  # a small and a large number of events per account
    followed: int  # accounts with that history
    seen: int  # appends to wait for


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
