"""Memory in Redis, per event, all keys counted."""

from __future__ import annotations

from typing import Any

from benchmarks import raw
from benchmarks.bench import Bench
from benchmarks.interleaving import spread
from benchmarks.result import LIMIT, ORIGINAL, Ratio, Row
from benchmarks.workload import fill, text
from eventlab import EventStore

MOST = 230
AT_ONCE = 1000


def memory(bench: Bench) -> list[Row]:
    """Few accounts with many events, and many with few."""
    return [_memory(bench, accounts, each) for accounts, each in bench.sizes.memory]


def _memory(bench: Bench, accounts: int, each: int) -> Row:
    redis, events = bench.redis, accounts * each
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
        ORIGINAL: ("one stream, version keys, set of ids", stream + versions),
    }
    compared = [
        Ratio(against, way, spread([ours / value]), value)
        for against, (way, value) in others.items()
    ]
    work = f"memory, {accounts:,} accounts of {each:,} events"
    return Row(work, "everysec", "bytes/event", ours, compared, at_most=MOST)


def _add_all(redis: Any, stream: str, texts: list[bytes]) -> None:
    for begin in range(0, len(texts), AT_ONCE):
        raw.add_many(redis, stream, texts[begin : begin + AT_ONCE])


def _count_versions(redis: Any, name: str, ids: list[str], each: int) -> None:
    pipe = redis.pipeline(transaction=False)
    pipe.sadd(f"{name}/ids", *ids)
    for id in ids:
        pipe.set(f"{name}/{id}", each)
    pipe.execute()


def _bytes(redis: Any, pattern: str) -> int:
    # used_memory would count what else the server does and keep changing by a few per cent; this says a little more.
    pipe = redis.pipeline(transaction=False)
    for key in redis.scan_iter(match=pattern, count=10_000):
        pipe.memory_usage(key, samples=0)
    return int(sum(pipe.execute()))
