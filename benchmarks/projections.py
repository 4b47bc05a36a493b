"""Measure how fast views catch up and rebuild, and how soon they show an event."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from pymongo import UpdateOne

from benchmarks import original, raw
from benchmarks.bench import Bench
from benchmarks.interleaving import Way, interleave, spread, timed
from benchmarks.result import LIMIT, ORIGINAL, OURS, Other, Ratio, Row, row_of
from benchmarks.workload import EVENT, account, fill, text
from eventlab import EventStore, Projector
from eventlab.accounts import AccountView
from eventlab.store.keys import SLICES

MAX_LATENCY_MS = 5.0
# The pause between appends is random, so that they arrive at any moment of the projector's wait.
MAX_PAUSE = 0.03  # seconds
POLL_INTERVAL = 0.0005  # in seconds; polling without a pause would slow down the projector
TIMEOUT = 30.0  # seconds
RUN = 5  # consecutive events of one account


@contextlib.contextmanager
def _projecting(bench: Bench, store: EventStore) -> Iterator[Projector]:
    with Projector(store, bench.mongo, AccountView(store.category)) as projector:
        try:
            yield projector
        finally:
            projector.reset()


def catch_up(bench: Bench) -> list[Row]:
    """Compare catching up from the first event with the same writes, prepared in advance."""
    sizes = bench.sizes
    with bench.name("catch_up") as name, contextlib.ExitStack() as closing:
        store = EventStore(bench.redis, name)
        fill(store, accounts=sizes.accounts, each=sizes.view // sizes.accounts, batch_size=RUN)
        projector = closing.enter_context(_projecting(bench, store))

        def ours() -> float:
            projector.reset()
            return timed(projector.catch_up)()

        ways = {
            OURS: ours,
            LIMIT: _prepared(bench, store),
            ORIGINAL: _original(bench, store.category, sizes.sample),
        }
        speeds = interleave(ways, rounds=sizes.long_rounds)
    others = {
        LIMIT: Other("the same folded writes, prepared, in the same transactions", 0.65),
        ORIGINAL: Other(
            f"a guarded upsert with timestamps per event ({sizes.sample:,} events)", 25
        ),
    }
    return [
        row_of(f"catch up, {sizes.view:,} events of {sizes.accounts:,} accounts", speeds, others)
    ]


def catch_up_slices(bench: Bench) -> list[Row]:
    """Compare catching up on categories with 64 slices and with 1 slice."""
    sizes = bench.sizes
    ways: dict[str, Way] = {}
    with (
        bench.name("catch_up_slices") as name,
        bench.name("catch_up_one") as one,
        contextlib.ExitStack() as closing,
    ):
        for way, category, slices in ((OURS, name, SLICES), (LIMIT, one, 1)):
            store = EventStore(bench.redis, category, slices=slices)
            fill(store, accounts=sizes.accounts, each=sizes.view // sizes.accounts, batch_size=RUN)
            projector = closing.enter_context(_projecting(bench, store))

            def caught_up(projector: Projector = projector) -> float:
                projector.reset()
                return timed(projector.catch_up)()

            ways[way] = caught_up
        speeds = interleave(ways, rounds=sizes.long_rounds)
    others = {LIMIT: Other("the same with 1 slice", 0.9)}
    return [row_of(f"catch up, {sizes.view:,} events, 64 slices", speeds, others)]


def rebuild(bench: Bench) -> list[Row]:
    """Compare rebuilding a live view with catching up from the first event."""
    sizes = bench.sizes
    with bench.name("rebuild") as name, contextlib.ExitStack() as closing:
        store = EventStore(bench.redis, name)
        count = sizes.view // sizes.accounts * sizes.accounts
        fill(store, accounts=sizes.accounts, each=sizes.view // sizes.accounts, batch_size=RUN)
        projector = closing.enter_context(_projecting(bench, store))

        def caught_up() -> float:
            projector.reset()
            return timed(projector.catch_up)()

        ways = {OURS: timed(lambda: projector.rebuild(progress=False)), LIMIT: caught_up}
        speeds = interleave(ways, rounds=sizes.long_rounds)
    return [
        row_of(
            f"rebuild, {count:,} events",
            speeds,
            {LIMIT: Other("catching up from the first event", 0.9)},
        )
    ]


def _prepared(bench: Bench, store: EventStore) -> Way:
    documents = bench.mongo[f"{store.category}_raw"]
    states = bench.mongo[f"{store.category}_states"]
    writes = raw.folded(store, AccountView(documents.name))

    def way() -> float:
        documents.delete_many({})
        states.replace_one({"_id": documents.name}, {"position": "0-0"}, upsert=True)
        return timed(lambda: raw.write(documents, states, writes))()

    return way


def _original(bench: Bench, category: str, sample: int) -> Way:
    documents = bench.mongo[f"{category}_original"]

    def way() -> float:
        documents.delete_many({})
        original.subscribe(bench.redis, category)
        return timed(lambda: original.project(bench.redis, category, documents, sample))()

    return way


def history(bench: Bench) -> list[Row]:
    """Compare catching up on accounts with a long history and on accounts with a short one."""
    sizes = bench.sizes
    few, many = sizes.history
    with bench.name("history") as name, contextlib.ExitStack() as closing:
        long = EventStore(bench.redis, f"{name}_long")
        ids = fill(long, accounts=sizes.followed, each=many)
        projector = closing.enter_context(_projecting(bench, long))
        projector.catch_up()
        version = many

        def ours() -> float:
            nonlocal version
            _append_to_all(long, ids, version, few)
            version += few
            return timed(projector.catch_up)()

        def short() -> float:
            with bench.name(f"{name}_short") as category:
                store = EventStore(bench.redis, category)
                fill(store, accounts=sizes.followed, each=few)
                with _projecting(bench, store) as fresh:
                    fresh.catch_up()
                    _append_to_all(store, ids, few, few)
                    return timed(fresh.catch_up)()

        speeds = interleave({OURS: ours, "short": short}, rounds=1 + sizes.rounds // 2)
    others = {"short": Other(f"accounts of {few:,} events", 0.9)}
    return [row_of(f"catch up on {sizes.followed} accounts of {many:,} events", speeds, others)]


def _append_to_all(store: EventStore, ids: list[str], version: int, count: int) -> None:
    for id in ids:
        store.append(id, [EVENT] * count, expected=version)


def latency(bench: Bench) -> list[Row]:
    """Measure the time until a MongoDB reader sees an appended event, on idle servers."""
    with bench.name("latency") as name:
        store = EventStore(bench.redis, name)
        with _projecting(bench, store), _running(bench, store):
            pairs = [
                (_append_and_wait(store, bench.mongo[name], n), _bare(bench, name, n))
                for n in range(bench.sizes.seen + 1)
            ]
    waits, bare = zip(*pairs[1:], strict=True)
    polling = original.POLLING_SECONDS / 2 * 1000
    compared = [
        Ratio(
            LIMIT,
            "bare XADD, then one transaction",
            spread([ours / theirs for ours, theirs in pairs[1:]]),
            median(bare),
        ),
        Ratio(
            ORIGINAL,
            "polling every 10 s: half of that, computed",
            spread([wait / polling for wait in waits]),
            polling,
        ),
    ]
    return [
        Row(
            "append to visible, idle, median",
            "everysec",
            "ms",
            median(waits),
            compared,
            MAX_LATENCY_MS,
        )
    ]


def _bare(bench: Bench, name: str, number: int) -> float:
    documents = bench.mongo[f"{name}_raw"]
    states = bench.mongo[f"{name}_states"]
    update = UpdateOne({"_id": account(number)}, {"$inc": {"funds": 100}}, upsert=True)
    states.replace_one({"_id": documents.name}, {"position": "0-0"}, upsert=True)
    begin = time.perf_counter()
    raw.add(bench.redis, f"{name}_raw", text(account(number), 1))
    raw.write(documents, states, [raw.Write([update], "1-0", 1)])
    return (time.perf_counter() - begin) * 1000


@contextlib.contextmanager
def _running(bench: Bench, store: EventStore) -> Iterator[None]:
    # The projector runs in its own process, as in production. In this process, it would share an
    # interpreter with its reader.
    where = ["--category", store.category, "--collection", store.category, "--view", "accounts"]
    command = [sys.executable, "-m", "eventlab", "project", *where]
    with subprocess.Popen(
        command, env=bench.environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first line means that it is working
        try:
            yield
        finally:
            process.terminate()


def _append_and_wait(store: EventStore, documents: Any, number: int) -> float:
    id = account(number)
    time.sleep(random.uniform(0, MAX_PAUSE))
    begin = time.perf_counter()
    store.append(id, [EVENT], expected=0)
    while documents.find_one(id) is None:
        if time.perf_counter() > begin + TIMEOUT:
            raise RuntimeError(f"{id} did not appear in MongoDB within {TIMEOUT} s")
        time.sleep(POLL_INTERVAL)
    return (time.perf_counter() - begin) * 1000
