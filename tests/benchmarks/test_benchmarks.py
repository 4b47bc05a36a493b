"""Run each benchmark at a tiny size; no test depends on speed."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bench import Bench, bench_on
from benchmarks.interleaving import interleave, spread, timed
from benchmarks.report import HEADER, as_json, lines
from benchmarks.result import LIMIT, ORIGINAL, OURS, Other, Row, row_of
from benchmarks.sizes import FULL, QUICK, Sizes
from benchmarks.suite import BENCHMARKS
from benchmarks.workload import account, text
from eventlab.servers import Lab

TINY = Sizes(
    seconds=0.001,
    rounds=2,
    long_rounds=2,
    batch=20,
    processes=2,
    accounts=5,
    log=10,
    small_store=20,
    large_store=40,
    memory=((2, 10), (10, 2)),
    view=50,
    sample=10,
    history=(2, 4),
    followed=2,
    seen=2,
)

ROWS = {
    "append-one": 1,
    "append-one-always": 1,
    "append-many": 2,
    "commit": 1,
    "append-slices": 1,
    "races": 2,
    "replay": 3,
    "snapshot": 1,
    "memory": 2,
    "catch-up": 1,
    "catch-up-slices": 1,
    "rebuild": 1,
    "history": 1,
    "latency": 1,
    "serving": 7,
    "workers": 2,
}


@pytest.fixture
def bench(lab: Lab) -> Iterator[Bench]:
    with bench_on(lab, TINY) as bench:
        yield bench


def test_every_benchmark_has_an_expected_number_of_rows() -> None:
    assert list(ROWS) == list(BENCHMARKS)


@pytest.mark.long
@pytest.mark.parametrize("benchmark_name", BENCHMARKS)
def test_benchmark_returns_its_rows_and_removes_its_data(bench: Bench, benchmark_name: str) -> None:
    rows = BENCHMARKS[benchmark_name](bench)
    assert len(rows) == ROWS[benchmark_name]
    for row in rows:
        assert row.ours > 0
        assert row.fsync == ("always" if benchmark_name.endswith("always") else "everysec")
        assert row.ratios
        for ratio in row.ratios:
            assert (
                0
                < ratio.spread.lowest
                <= ratio.spread.lower
                <= ratio.spread.median
                <= ratio.spread.upper
            )
            assert ratio.spread.upper <= ratio.spread.highest < math.inf
            assert ratio.value > 0
    assert bench.redis.config_get("appendfsync")["appendfsync"] == "everysec"
    assert not list(bench.redis.scan_iter(match="*bench_*", count=10_000))
    assert not [name for name in bench.mongo.list_collection_names() if "bench_" in name]
    assert not list(bench.mongo.projections.find({"_id": {"$regex": "bench_"}}))


def test_rows_contain_the_requirements(bench: Bench) -> None:
    [row] = BENCHMARKS["append-one"](bench)
    assert {ratio.against: ratio.required for ratio in row.ratios} == {LIMIT: 0.65, ORIGINAL: 2.0}
    assert [row.at_most for row in BENCHMARKS["memory"](bench)] == [230, 230]


def test_events_have_the_documented_size() -> None:
    assert 80 <= len(text(account(1), 1)) <= 90


def test_interleave_runs_the_ways_in_turn() -> None:
    order: list[str] = []

    def way(name: str) -> float:
        order.append(name)
        return 1.0

    speeds = interleave({name: lambda name=name: way(name) for name in "abc"}, rounds=3)  # type: ignore[misc]
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"  # the first round warms up
    assert speeds == {name: [1.0] * 3 for name in "abc"}


def test_timed_counts_the_units_of_each_step() -> None:
    steps = iter([3, 4])
    assert timed(lambda: next(steps))() > 0
    assert list(steps) == [4]


def test_ratios_compare_speeds_of_the_same_round() -> None:
    speeds = {OURS: [10.0, 100.0, 30.0], LIMIT: [20.0, 100.0, 10.0]}
    row = row_of("work", speeds, {LIMIT: Other("bare", 0.9)})
    [ratio] = row.ratios
    assert ratio.spread == (1.0, 0.75, 2.0, 0.5, 3.0)
    assert (row.ours, ratio.value, ratio.met) == (30.0, 20.0, True)
    assert spread([2.0]) == (2.0,) * 5


def test_report_shows_whether_a_requirement_is_met() -> None:
    speeds = {OURS: [1.0, 1.0], LIMIT: [2.0, 2.0]}
    below = row_of("work", speeds, {LIMIT: Other("bare XADD", 0.65)}, fsync="always")
    above = Row("memory", "everysec", "bytes/event", 300.0, at_most=230)
    [line], [at_most] = lines(below), lines(above)
    assert line.split()[:6] == ["work", "always", "0.50", "0.50..0.50", "0.65", "below"]
    assert line.index("bare XADD") == HEADER.index("against")
    assert at_most.split()[:3] == ["memory", "everysec", "above"]
    [first, second] = json.loads(as_json([below, above]))
    assert (first["ours"], first["limit"], first["original"], first["unit"]) == (
        1.0,
        2.0,
        None,
        "events/s",
    )
    assert (
        first["ratios"][0] | {"median": 0.5, "required": 0.65, "met": False} == first["ratios"][0]
    )
    assert (second["at_most"], second["met"]) == (230, False)


def test_quick_sizes_are_not_larger_than_the_full_sizes() -> None:
    quick, full = dataclasses.asdict(QUICK), dataclasses.asdict(FULL)
    assert all(quick[name] <= full[name] for name in quick if isinstance(quick[name], int | float))


def test_command_rejects_an_unknown_name_and_lists_the_known_ones() -> None:
    command = [sys.executable, "-m", "benchmarks", "append"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 2
    assert "unknown benchmark 'append': choose from append-one" in done.stderr
