"""Compare two workers of the account service with one, on one connection and on many."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from typing import cast

from benchmarks.bench import Bench
from benchmarks.interleaving import Way, interleave
from benchmarks.result import OURS, Other, Row, row_of
from benchmarks.serving import served
from benchmarks.workload import account, fill
from eventlab import EventStore

ONE = "one worker"
EVENTS = 20
#: For each number of connections, the share of one worker's speed that two workers must reach.
REQUIRED = {64: 1.0, 1: 0.8}
LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n")


class Caller(asyncio.Protocol):
    """A lightweight client that repeatedly sends the same request on one connection."""

    def __init__(self, request: bytes, end: float) -> None:
        self.count = 0
        self.done = asyncio.get_running_loop().create_future()
        self._request = request
        self._end = end
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Send the next request after each complete response."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n")
        if not found or length is None or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.done.set_exception(RuntimeError(f"the service returned {self._received[:200]!r}"))
            return
        self._received = b""
        self.count += 1
        if time.perf_counter() < self._end:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)


def workers(bench: Bench) -> list[Row]:
    """Compare the speed of GET /accounts/{id} with two workers and with one."""
    rounds = bench.sizes.rounds
    with bench.name("workers") as name, contextlib.ExitStack() as closing:
        fill(EventStore(bench.redis, name), accounts=1, each=EVENTS)
        command = [sys.executable, "-m", "eventlab", "serve", "--category", name]
        command += ["--collection", f"{name}_view", "--workers"]
        ports = {
            count: closing.enter_context(served(bench, [*command, str(count)], name))
            for count in (1, 2)
        }
        return [
            row_of(
                f"fetch over HTTP, two workers, {connections} connection(s)",
                interleave(
                    {
                        OURS: _way(bench, ports[2], connections),
                        ONE: _way(bench, ports[1], connections),
                    },
                    rounds=rounds,
                ),
                {ONE: Other("one worker", required)},
                unit="requests/s",
            )
            for connections, required in REQUIRED.items()
        ]


def _way(bench: Bench, port: int, connections: int) -> Way:
    return lambda: asyncio.run(_speed(port, connections, bench.sizes.seconds * 5))


async def _speed(port: int, connections: int, seconds: float) -> float:
    request = f"GET /accounts/{account(0)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    begin = time.perf_counter()
    pairs = [
        await loop.create_connection(lambda: Caller(request, begin + seconds), "127.0.0.1", port)
        for _ in range(connections)
    ]
    callers = [caller for _, caller in pairs]
    await asyncio.gather(*(caller.done for caller in callers))
    return sum(caller.count for caller in callers) / (time.perf_counter() - begin)
