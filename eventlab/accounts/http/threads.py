"""Threads for the calls to one server, so that a server that hangs does not block other calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

CALL_SECONDS: Final = 2.0  # including the time in the queue

T = TypeVar("T")


class ServerThreads:
    """A few threads that call one server; a call that takes too long raises ``timed_out``.

    The thread of such a call stays busy until the driver's own timeout.
    """

    def __init__(self, name: str, timed_out: type[Exception], *, threads: int) -> None:
        self._name = name
        self._timed_out = timed_out
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in one of the threads and return its result."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.wrap_future(self._pool.submit(call))
        except TimeoutError:
            raise self._timed_out(
                f"{self._name} did not respond within {CALL_SECONDS:g} seconds"
            ) from None
