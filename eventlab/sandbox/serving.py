"""Serve an app on loopback with a real HTTP server in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import uvicorn

START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 1
DATE_SECONDS = 1.0  # the interval at which the Date header is updated


class _Server(uvicorn.Server):
    """A server that stops immediately; an idle uvicorn server takes a fifth of a second."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await super().startup(sockets=sockets)

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), DATE_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        end = time.monotonic() + STOP_TIMEOUT_SECONDS
        while self._is_busy() and time.monotonic() < end:
            await asyncio.sleep(0.005)
        for task in self.server_state.tasks:
            task.cancel()
        await self.lifespan.shutdown()

    def _is_busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)

    def stop(self) -> None:
        """Tell the server to stop; called from another thread."""
        self.should_exit = True
        with contextlib.suppress(RuntimeError):  # its event loop has ended
            self._loop.call_soon_threadsafe(self._stop.set)


class Serving:
    """Serves an app on 127.0.0.1 until ``close`` is called. Its ``url`` has no trailing slash.

    With ``port`` 0, the server uses any free port. Raises ``RuntimeError`` if the server
    does not start.

    >>> with Serving(create_fake_gmail().app) as serving:
    ...     serving.url
    'http://127.0.0.1:38211'
    """

    def __init__(self, app: Any, *, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        # asyncio sets this option only on a socket that names its protocol; see
        # accounts/http/listener.py.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="critical", access_log=False, server_header=False)
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True
        )
        self._thread.start()
        end = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise RuntimeError(f"The server at {self.url} did not start")
            time.sleep(0.01)

    def close(self) -> None:
        """Stop serving; requests in progress have one second to finish."""
        self._server.stop()
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
