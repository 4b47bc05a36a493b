"""Measure the account service: requests per second and response times, on eight connections."""

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
from eventlab.lessons.ports import free_port

CONNECTIONS = 8
SMALL_STORE = 1000
ACCOUNTS = 50  # the accounts that receive requests; the others only fill the store
BODY = b'{"amount":100}'
JSON = {"Content-Type": "application/json"}
TIMEOUT = 60.0  # seconds


@dataclass
class Client:
    """Eight open connections to one port; ``took`` lists each request's duration in seconds."""

    port: int
    took: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._connections = [
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            for _ in range(CONNECTIONS)
        ]
        self._pool = ThreadPoolExecutor(CONNECTIONS)

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    def slice(self, seconds: float, method: str, path: str) -> float:
        """Send requests on all connections for `seconds`; return the requests per second."""
        begin = time.perf_counter()
        done = self._pool.map(
            lambda connection: self._send(connection, begin + seconds, method, path),
            self._connections,
        )
        return sum(done) / (time.perf_counter() - begin)

    def _send(
        self, connection: http.client.HTTPConnection, end: float, method: str, path: str
    ) -> int:
        count = 0
        while not count or time.perf_counter() < end:
            begin = time.perf_counter()
            url = path.format(account(random.randrange(ACCOUNTS)))
            connection.request(method, url, BODY if method == "POST" else None, JSON)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise RuntimeError(f"{method} {url} returned {response.status}: {body[:200]!r}")
            self.took.append(time.perf_counter() - begin)
            count += 1
        return count


def serving(bench: Bench) -> list[Row]:
    """Compare requests with a bare route, and deposits in a large store with a small store."""
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
                served(bench, [*command, "--collection", f"{name}_view"], name)
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
        ports["bare"] = closing.enter_context(served(bench, [*bare, "--no-access-log"], name))
        clients = {
            which: closing.enter_context(contextlib.closing(Client(port)))
            for which, port in ports.items()
        }
        return [*_against_the_bare_route(bench, clients), *_in_a_large_store(bench, clients)]


def _way(client: Client, seconds: float, method: str, path: str) -> Way:
    return lambda: client.slice(seconds, method, path)


def _against_the_bare_route(bench: Bench, clients: dict[str, Client]) -> Iterator[Row]:
    seconds = bench.sizes.seconds * 5
    rounds = bench.sizes.rounds
    limit = _way(clients["bare"], seconds, "POST", "/accounts/{}/deposits")
    for what, method, path, required in (
        ("deposit", "POST", "/accounts/{}/deposits", 0.8),
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
    sizes = bench.sizes
    seconds = sizes.seconds * 5
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
def served(bench: Bench, command: list[str], name: str) -> Iterator[int]:
    """Run a server in its own process, with the bench's Redis and MongoDB; yield its port."""
    environment = bench.environment() | {"BENCH_STREAM": f"{name}_bare"}
    port = free_port()
    process = subprocess.Popen(
        [*command, "--port", str(port)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(lambda: socket.create_connection(("127.0.0.1", port), 1).close(), process)
        yield port
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def _wait_until_ready(ready: Callable[[], None], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + TIMEOUT
    while True:
        try:
            return ready()
        except ConnectionRefusedError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the server did not start") from error
        time.sleep(0.05)
