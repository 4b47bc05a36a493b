"""Measure loading an account by replay, in a small and a large store, and from a snapshot."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import orjson
import redis

from benchmarks import original, raw
from benchmarks.bench import Bench
from benchmarks.interleaving import Step, Way, interleave, timed
from benchmarks.result import LIMIT, ORIGINAL, OURS, Other, Row, row_of
from benchmarks.workload import EVENT, account, decode, fill, text
from eventlab import EventStore, Repository
from eventlab.accounts import Account

READ = 100  # the number of accounts to read in turn, the same in both stores
SMALL = "small store"
RATIO_AT_100_000 = 300.0
DECODERS: dict[str, Callable[[bytes], Any]] = {ORIGINAL: orjson.loads, "msgspec": decode}
TAIL = 10


def replays(bench: Bench) -> list[Row]:
    """Measure the replay of a whole aggregate log.

    The replay is compared with an XRANGE of the same events, and with the original, which reads the
    whole category.
    """
    sizes = bench.sizes
    with bench.name("replay") as name:
        store = EventStore(bench.redis, f"{name}_small")
        large = EventStore(bench.redis, f"{name}_large")
        ids = fill(store, accounts=sizes.small_store // sizes.log, each=sizes.log)
        many = fill(large, accounts=sizes.large_store // sizes.log, each=sizes.log)
        for id in ids[:READ]:
            raw.add_many(
                bench.redis, f"{name}_raw:{id}", [text(id, n) for n in range(1, sizes.log + 1)]
            )
        bench.settle()
        steps = {
            OURS: _in_turn(_replay(store), ids[:READ]),
            LIMIT: _in_turn(lambda id: raw.read(bench.redis, f"{name}_raw:{id}"), ids[:READ]),
            "large": _in_turn(_replay(large), many[:: max(1, len(many) // READ)]),
        }
        speeds = interleave(
            {key: timed(step, sizes.seconds) for key, step in steps.items()}, rounds=sizes.rounds
        )
        # The original runs in its own process, because the memory that 100,000 decoded events leave
        # behind slows down the code that runs next.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
            whole = {
                name: _whole(other, bench.socket, store.category, ids[0], name) for name in DECODERS
            }
            beside = interleave(
                {OURS: timed(steps[OURS], 5 * sizes.seconds), **whole}, rounds=sizes.long_rounds
            )
    return [
        row_of(
            f"replay {sizes.log:,} of {sizes.small_store:,} events",
            speeds,
            {LIMIT: Other("bare XRANGE of the same events, not decoded", 0.8)},
        ),
        row_of(
            f"replay {sizes.log:,} of {sizes.large_store:,} events",
            {OURS: speeds["large"], LIMIT: speeds[LIMIT], SMALL: speeds[OURS]},
            {
                LIMIT: Other("bare XRANGE of the same events, not decoded", 0.8),
                SMALL: Other(f"the same, of {sizes.small_store:,} events", 0.9),
            },
        ),
        row_of(
            f"replay {sizes.log:,} of {sizes.small_store:,} events",
            beside,
            # The original slows down as the store grows, so a smaller store needs a smaller ratio.
            {
                ORIGINAL: Other(
                    "XREAD of the whole category, orjson, filter",
                    RATIO_AT_100_000 * sizes.small_store / 100_000,
                ),
                "msgspec": Other("the same, with msgspec instead of orjson"),
            },
        ),
    ]


def snapshots(bench: Bench) -> list[Row]:
    """Compare loading from a snapshot and a short tail with loading the whole aggregate log."""
    sizes = bench.sizes
    with bench.name("snapshot") as name:
        store = EventStore(bench.redis, name)
        kept = Repository(store, Account, cache=0, snapshot_every=sizes.log)
        for number in range(READ):
            _with_snapshot(kept, account(number), sizes.log)
            raw.add_many(
                bench.redis,
                f"{name}_raw:{account(number)}",
                [text(account(number), n) for n in range(TAIL)],
            )
        ids = [account(number) for number in range(READ)]
        plain = _replay(store)
        steps = {
            OURS: _in_turn(lambda id: kept.load(id).version // (sizes.log + TAIL), ids),
            LIMIT: _in_turn(
                lambda id: raw.snapshot_and_tail(
                    bench.redis, store.keys.snapshot(id), f"{name}_raw:{id}"
                ),
                ids,
            ),
            "whole": _in_turn(lambda id: plain(id) // (sizes.log + TAIL), ids),
        }
        speeds = interleave(
            {key: timed(step, sizes.seconds) for key, step in steps.items()}, rounds=sizes.rounds
        )
    others = {
        LIMIT: Other(f"bare GET and XRANGE of {TAIL}, not decoded"),
        "whole": Other(f"eventlab without a snapshot, {sizes.log + TAIL:,} events"),
    }
    return [row_of(f"load a snapshot and a tail of {TAIL} events", speeds, others, unit="loads/s")]


def _with_snapshot(repository: Repository[Account], id: str, length: int) -> None:
    account = repository.load(id)
    account.create()
    for _ in range(length - 1):
        account.deposit(EVENT.data["amount"])
    repository.save(account)
    repository.store.append(id, [EVENT] * TAIL, expected=length)


def _replay(store: EventStore) -> Callable[[str], int]:
    repository = Repository(store, Account, cache=0)
    return lambda id: repository.load(id).version


def _whole(other: ProcessPoolExecutor, socket: str, stream: str, id: str, decoder: str) -> Way:
    return lambda: other.submit(replay_whole, socket, stream, id, decoder).result()


def replay_whole(socket: str, stream: str, id: str, decoder: str) -> float:
    """Replay an account once like the original; return the account's events per second."""
    with redis.Redis(unix_socket_path=socket) as client:
        return timed(
            lambda: original.replay(client, stream, id, decode=DECODERS[decoder]).version
        )()


def _in_turn(read: Callable[[str], int], ids: Iterable[str]) -> Step:
    turns = itertools.cycle(ids)
    return lambda: read(next(turns))
