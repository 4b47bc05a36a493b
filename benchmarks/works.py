"""The works that are measured, by the names they are asked for."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import appends, memory, races, replays, serving, views
from benchmarks.bench import Bench
from benchmarks.row import Row

WORKS: dict[str, Callable[[Bench], list[Row]]] = {
    "append-one": appends.append_one,
    "append-one-always": appends.append_one_always,
    "append-many": appends.append_many,
    "races": races.races,
    "replay": replays.replays,
    "snapshot": replays.snapshots,
    "memory": memory.memory,
    "catch-up": views.catch_up,
    "rebuild": views.rebuild,
    "history": views.history,
    "latency": views.latency,
    "serving": serving.serving,
}
