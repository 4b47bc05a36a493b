"""Measure the memory that Redis uses per event, including all keys."""

from __future__ import annotations

from typing import Any

from benchmarks import raw
from benchmarks.bench import Bench
from benchmarks.interleaving import spread
from benchmarks.result import LIMIT, ORIGINAL, Ratio, Row
from benchmarks.workload import fill, text
from eventlab import EventStore

MAX_BYTES_PER_EVENT = 230
BATCH_SIZE = 1000


def memory(bench: Bench) -> list[Row]:
    """Measure a few accounts with many events each, and many accounts with a few events each."""
    return [_memory(bench, accounts, each) for accounts, each in bench.sizes.memory]


def _memory(bench: Bench, accounts: int, each: int) -> Row:
    redis = bench.redis
    events = accounts * each
    with bench.name("memory") as name:
        ids = fill(EventStore(redis, f"{name}_ours"), accounts=accounts, each=each)
        _add_all(
            redis,
            f"{name}_raw",
            [text(id, version) for version in range(1, each + 1) for id in ids],
        )
        _count_versions(redis, f"{name}_versions", ids, each)
        ours, stream, versions = (
            _bytes(redis, f"*{name}_{way}*") / events for way in ("ours", "raw", "versions")
        )
    others = {
        LIMIT: ("one stream, nothing else", stream),
        ORIGINAL: ("one stream, version keys, a set of ids", stream + versions),
    }
    compared = [
        Ratio(against, way, spread([ours / value]), value)
        for against, (way, value) in others.items()
    ]
    title = f"memory, {accounts:,} accounts of {each:,} events"
    return Row(title, "everysec", "bytes/event", ours, compared, at_most=MAX_BYTES_PER_EVENT)


def _add_all(redis: Any, stream: str, texts: list[bytes]) -> None:
    for begin in range(0, len(texts), BATCH_SIZE):
        raw.add_many(redis, stream, texts[begin : begin + BATCH_SIZE])


def _count_versions(redis: Any, name: str, ids: list[str], each: int) -> None:
    pipe = redis.pipeline(transaction=False)
    pipe.sadd(f"{name}/ids", *ids)
    for id in ids:
        pipe.set(f"{name}/{id}", each)
    pipe.execute()


def _bytes(redis: Any, pattern: str) -> int:
    # This does not use used_memory, which includes everything else in the server and varies by a
    # few percent. The sum of all keys is slightly higher.
    pipe = redis.pipeline(transaction=False)
    for key in redis.scan_iter(match=pattern, count=10_000):
        pipe.memory_usage(key, samples=0)
    return int(sum(pipe.execute()))
