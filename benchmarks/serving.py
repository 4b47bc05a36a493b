"""Serving: requests a second of the account service, and how long each takes, on eight connections."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import quantiles

from benchmarks.bench import Bench
from benchmarks.interleaving import Way, interleave, spread
from benchmarks.result import LIMIT, OURS, Other, Ratio, Row, row_of
from benchmarks.workload import account, fill
from eventlab import EventStore

CONNECTIONS = 8
SMALL_STORE = 1000
ACCOUNTS = 50  # that are asked; all others only stand in the store
BODY = b'{"amount":100}'
JSON = {"Content-Type": "application/json"}
PATIENCE = 60.0


@dataclass
class Client:
    """Eight connections to one port, kept open; ``took`` are the seconds of every request."""

    port: int
    took: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lines = [
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            for _ in range(CONNECTIONS)
        ]
        self._pool = ThreadPoolExecutor(CONNECTIONS)

    def close(self) -> None:
        """Hang up."""
        self._pool.shutdown()
        for line in self._lines:
            line.close()

    def slice(self, seconds: float, method: str, path: str) -> float:
        """Ask on all connections for so long; requests a second."""
        begin = time.perf_counter()
        done = self._pool.map(
            lambda line: self._ask(line, begin + seconds, method, path), self._lines
        )
        return sum(done) / (time.perf_counter() - begin)

    def _ask(self, line: http.client.HTTPConnection, end: float, method: str, path: str) -> int:
        count = 0
        while not count or time.perf_counter() < end:
            begin = time.perf_counter()
            place = path.format(account(random.randrange(ACCOUNTS)))
            line.request(method, place, BODY if method == "POST" else None, JSON)
            answer = line.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(
                    f"{method} {place} was answered with {answer.status}: {text[:200]!r}"
                )
            self.took.append(time.perf_counter() - begin)
            count += 1
        return count


def serving(bench: Bench) -> list[Row]:
    """Deposits and fetches beside a bare route, and deposits in a store that is large."""
    sizes = bench.sizes
    with bench.name("serving") as name, contextlib.ExitStack() as closing:
        ports = {}
        for which, events in (
            ("small", min(SMALL_STORE, sizes.large_store)),
            ("large", sizes.large_store),
        ):
            store = EventStore(bench.redis, f"{name}_{which}")
            each = max(1, min(20, events // ACCOUNTS))
            fill(store, accounts=max(ACCOUNTS, events // each), each=each)
            command = [sys.executable, "-m", "eventlab", "serve", "--category", store.category]
            ports[which] = closing.enter_context(
                _process(bench, [*command, "--collection", f"{name}_view"], name)
            )
        bare = [
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            "benchmarks.bare_api:app",
            "--log-level",
            "warning",
        ]
        ports["bare"] = closing.enter_context(_process(bench, [*bare, "--no-access-log"], name))
        clients = {
            which: closing.enter_context(contextlib.closing(Client(port)))
            for which, port in ports.items()
        }
        return [*_beside_the_bare_route(bench, clients), *_in_a_large_store(bench, clients)]


def _way(client: Client, seconds: float, method: str, path: str) -> Way:
    return lambda: client.slice(seconds, method, path)


def _beside_the_bare_route(bench: Bench, clients: dict[str, Client]) -> Iterator[Row]:
    seconds, rounds = bench.sizes.seconds * 5, bench.sizes.rounds
    limit = _way(clients["bare"], seconds, "POST", "/accounts/{}/deposits")
    for what, method, path, required in (
        ("deposit", "POST", "/accounts/{}/deposits", 0.5),
        ("fetch", "GET", "/accounts/{}", None),
    ):
        for client in clients.values():
            client.took.clear()
        speeds = interleave(
            {OURS: _way(clients["small"], seconds, method, path), LIMIT: limit}, rounds=rounds
        )
        others = {LIMIT: Other("a bare FastAPI route with one XADD", required)}
        yield row_of(
            f"{what} over HTTP, {CONNECTIONS} connections", speeds, others, unit="requests/s"
        )
        yield from _times(what, clients["small"].took, clients["bare"].took)


def _times(what: str, ours: list[float], bare: list[float]) -> Iterator[Row]:
    for name, pick in (("p50", 49), ("p99", 98)):
        mine, theirs = (
            quantiles(some, n=100, method="inclusive")[pick] * 1000 for some in (ours, bare)
        )
        compared = [Ratio(LIMIT, "the bare route", spread([mine / theirs]), theirs)]
        yield Row(f"{what} over HTTP, {name}", "everysec", "ms", mine, compared)


def _in_a_large_store(bench: Bench, clients: dict[str, Client]) -> Iterator[Row]:
    seconds, sizes = bench.sizes.seconds * 5, bench.sizes
    ways = {
        OURS: _way(clients["large"], seconds, "POST", "/accounts/{}/deposits"),
        "small": _way(clients["small"], seconds, "POST", "/accounts/{}/deposits"),
    }
    small = min(SMALL_STORE, sizes.large_store)
    others = {"small": Other(f"with {small:,} events in the store", 0.9)}
    yield row_of(
        f"deposit over HTTP, {sizes.large_store:,} events in the store",
        interleave(ways, rounds=sizes.rounds),
        others,
        unit="requests/s",
    )


@contextlib.contextmanager
def _process(bench: Bench, command: list[str], name: str) -> Iterator[int]:
    """A server in a process of its own, on the bench's Redis and MongoDB; gives its port."""
    environment = bench.environment() | {"BENCH_STREAM": f"{name}_bare"}
    port = _free_port()
    process = subprocess.Popen(
        [*command, "--port", str(port)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        _until(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(ready: Callable[[], None], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return ready()
        except ConnectionRefusedError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the server does not answer") from error
        time.sleep(0.05)
