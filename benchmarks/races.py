"""Measure races, in which many processes write at once to one account or to many."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

import redis

from benchmarks import original, raw
from benchmarks.bench import Bench
from benchmarks.interleaving import Way, interleave, timed
from benchmarks.result import LIMIT, ORIGINAL, OURS, Other, Row, row_of
from benchmarks.workload import EVENT, account, text
from eventlab import EventStore, VersionConflict

SPAWN = multiprocessing.get_context("spawn")
TIMEOUT = 60.0  # seconds


class Slice(NamedTuple):
    """A command to a racer: the way, the number of accounts, and the number of seconds."""

    way: str
    accounts: int
    seconds: float


class Racer:
    """The writer in one process, which can use each of the ways."""

    def __init__(self, socket: str, name: str) -> None:
        self._redis = redis.Redis(unix_socket_path=socket)
        self._name = name
        self._store = EventStore(self._redis, name)
        self._versions: dict[str, int] = {}
        self._original = original.Writer(self._redis, f"{name}_original")
        self._text = text(account(0), 1)

    def run(self, slice: Slice) -> float:
        """Write for the duration of one slice; return the accepted appends per second."""
        write = {OURS: self._append, LIMIT: self._add, ORIGINAL: self._original.write}[slice.way]
        return timed(lambda: write(account(random.randrange(slice.accounts))), slice.seconds)()

    def _append(self, id: str) -> int:
        version = self._versions.get(id, 0)
        while True:
            try:
                [recorded] = self._store.append(id, [EVENT], expected=version)
            except VersionConflict as conflict:
                version = conflict.actual
            else:
                self._versions[id] = recorded.version
                return 1

    def _add(self, _: str) -> int:
        return raw.add(self._redis, f"{self._name}_raw", self._text)


def race(socket: str, name: str, commands: Connection, start: Barrier) -> None:
    """Run a slice for each command until the other end of the pipe is closed."""
    racer = Racer(socket, name)
    with contextlib.suppress(EOFError):
        while True:
            slice = commands.recv()
            start.wait(TIMEOUT)
            commands.send(racer.run(slice))


@contextlib.contextmanager
def _racers(bench: Bench, name: str) -> Iterator[list[Connection]]:
    start = SPAWN.Barrier(bench.sizes.processes)
    ends = []
    processes = []
    for _ in range(bench.sizes.processes):
        mine, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=race, args=(bench.socket, name, theirs, start), daemon=True)
        process.start()
        theirs.close()
        ends.append(mine)
        processes.append(process)
    try:
        yield ends
    finally:
        for end in ends:
            end.close()
        for process in processes:
            process.join(TIMEOUT)


def races(bench: Bench) -> list[Row]:
    """Measure races on one account and on many accounts."""
    with bench.name("race") as name, _racers(bench, name) as racers:
        return [_race(bench, racers, 1, 2.0), _race(bench, racers, bench.sizes.accounts, None)]


def _race(bench: Bench, racers: list[Connection], accounts: int, required: float | None) -> Row:
    def way(name: str) -> Way:
        slice = Slice(name, accounts, 2 * bench.sizes.seconds)

        def run() -> float:
            for racer in racers:
                racer.send(slice)
            return float(sum(racer.recv() for racer in racers))

        return run

    speeds = interleave(
        {name: way(name) for name in (OURS, LIMIT, ORIGINAL)}, rounds=1 + bench.sizes.rounds // 2
    )
    others = {
        LIMIT: Other("bare XADD, no check"),
        ORIGINAL: Other("WATCH GET MULTI EXEC", required),
    }
    where = "one account" if accounts == 1 else f"{accounts:,} random accounts"
    return row_of(f"{len(racers)} processes on {where}", speeds, others, unit="accepted/s")
