"""Measure appends of one event and of many events per call."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from benchmarks import original, raw
from benchmarks.bench import Bench
from benchmarks.interleaving import Speeds, Step, interleave, timed
from benchmarks.result import LIMIT, ORIGINAL, OURS, Other, Row, row_of
from benchmarks.workload import EVENT, account, text
from eventlab import EventStore, Write
from eventlab.store.keys import SLICES

ACCOUNTS = 100


def append_one(bench: Bench) -> list[Row]:
    """Measure appends of one event per call."""
    return [
        _one(
            bench,
            "everysec",
            {LIMIT: Other("bare XADD", 0.65), ORIGINAL: Other("WATCH GET MULTI EXEC", 2.0)},
        )
    ]


def append_one_always(bench: Bench) -> list[Row]:
    """Measure appends of one event per call, with an fsync before Redis responds."""
    return [
        _one(
            bench,
            "always",
            {LIMIT: Other("bare XADD", 0.85), ORIGINAL: Other("WATCH GET MULTI EXEC")},
        )
    ]


def append_many(bench: Bench) -> list[Row]:
    """Measure appends of many events per call."""
    few = max(1, bench.sizes.batch // 10)
    return [_many(bench, few, None), _many(bench, bench.sizes.batch, 1.0)]


def commit_two(bench: Bench) -> list[Row]:
    """Compare a commit of one event each to two aggregates with an append of two to one."""
    with bench.name("commit_two") as name:
        speeds = _slices(
            bench,
            {
                OURS: _in_turn(_committer(bench, name)),
                LIMIT: _in_turn(_appender(bench, f"{name}_one", 2)),
            },
        )
    others = {LIMIT: Other("append of 2 events to one", 0.75)}
    return [row_of("commit to 2 aggregates", speeds, others)]


def append_to_slices(bench: Bench) -> list[Row]:
    """Compare appends of one event to categories with 64 slices and with 1 slice."""
    with bench.name("append_slices") as name:
        speeds = _slices(
            bench,
            {
                OURS: _in_turn(_appender(bench, name, 1, slices=SLICES)),
                LIMIT: _in_turn(_appender(bench, f"{name}_one", 1)),
            },
        )
    others = {LIMIT: Other("the same with 1 slice", 0.9)}
    return [row_of("append one event, 64 slices", speeds, others)]


def _one(bench: Bench, policy: str, others: dict[str, Other]) -> Row:
    with bench.name("append_one") as name, bench.fsync(policy):
        event = text(account(0), 1)
        speeds = _slices(
            bench,
            {
                OURS: _in_turn(_appender(bench, name, 1)),
                LIMIT: lambda: raw.add(bench.redis, f"{name}_raw", event),
                ORIGINAL: _in_turn(_publisher(bench, f"{name}_original")),
            },
        )
    return row_of("append one event", speeds, others, fsync=policy)


def _many(bench: Bench, count: int, required: float | None) -> Row:
    with bench.name("append_many") as name:
        texts = [text(account(0), version) for version in range(1, count + 1)]
        speeds = _slices(
            bench,
            {
                OURS: _in_turn(_appender(bench, name, count)),
                LIMIT: lambda: raw.add_many(bench.redis, f"{name}_raw", texts),
                ORIGINAL: _in_turn(_publisher(bench, f"{name}_original")),
            },
        )
    others = {
        LIMIT: Other("bare XADD, pipelined", required),
        ORIGINAL: Other("WATCH … EXEC for each"),
    }
    return row_of(f"append {count:,} events in one call", speeds, others)


def _slices(bench: Bench, steps: dict[str, Step]) -> Speeds:
    seconds = bench.sizes.seconds
    return interleave(
        {name: timed(step, seconds) for name, step in steps.items()}, rounds=bench.sizes.rounds
    )


def _appender(
    bench: Bench, category: str, count: int, *, slices: int = 1
) -> Callable[[str, int], int]:
    store = EventStore(bench.redis, category, slices=slices)
    events = [EVENT] * count

    def append(id: str, turn: int) -> int:
        return len(store.append(id, events, expected=turn * count))

    return append


def _committer(bench: Bench, category: str) -> Callable[[str, int], int]:
    store = EventStore(bench.redis, category)

    def commit(id: str, turn: int) -> int:
        writes = [Write(id, [EVENT], turn), Write(f"{id}/other", [EVENT], turn)]
        return sum(map(len, store.commit(writes).values()))

    return commit


def _publisher(bench: Bench, stream: str) -> Callable[[str, int], int]:
    def publish(id: str, turn: int) -> int:
        return int(original.publish(bench.redis, stream, id, turn))

    return publish


def _in_turn(write: Callable[[str, int], int]) -> Step:
    """Return a step that writes to the accounts in turn; `write` gets an id and a turn number."""
    turns = ((account(number), turn) for turn in itertools.count() for number in range(ACCOUNTS))
    return lambda: write(*next(turns))
