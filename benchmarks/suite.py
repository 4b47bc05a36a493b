"""All benchmarks, by name."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import appends, memory, projections, races, replays, serving, workers
from benchmarks.bench import Bench
from benchmarks.result import Row

BENCHMARKS: dict[str, Callable[[Bench], list[Row]]] = {
    "append-one": appends.append_one,
    "append-one-always": appends.append_one_always,
    "append-many": appends.append_many,
    "commit": appends.commit_two,
    "append-slices": appends.append_to_slices,
    "races": races.races,
    "replay": replays.replays,
    "snapshot": replays.snapshots,
    "memory": memory.memory,
    "catch-up": projections.catch_up,
    "catch-up-slices": projections.catch_up_slices,
    "rebuild": projections.rebuild,
    "history": projections.history,
    "latency": projections.latency,
    "serving": serving.serving,
    "workers": workers.workers,
}
