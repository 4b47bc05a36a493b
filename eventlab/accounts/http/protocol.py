"""HTTP/1.1 connections of uvicorn, with time limits and a maximum number of connections."""

from __future__ import annotations

import asyncio
import functools
import resource
from typing import Any, Final

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from eventlab.accounts.http.schemas import BODY_SECONDS, MAX_DISCARDED_BYTES, Error

HEADER_SECONDS: Final = 15.0
GRACE_SECONDS: Final = 5.0  # for the response to a body that took too long
MAX_FILES: Final = 65_536
MAX_CONNECTIONS: Final = 10_000
OTHER_FILES: Final = 128  # for Redis, MongoDB, the log and Python itself


State = Any  # h11 does not export the type of its states


class Connection(H11Protocol):
    """A connection that is closed when a request arrives too slowly or never ends.

    The header must be complete within ``HEADER_SECONDS``, however many bytes arrive in the
    meantime. The body must be complete within ``BODY_SECONDS``. The route that reads the body
    enforces this limit. If no route reads the body, this class enforces the limit.
    """

    _awaited: State = None
    _timer: asyncio.TimerHandle | None = None
    _discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a header; close the connection if there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > max_connections():
            transport.abort()
        else:
            self._wait_for(h11.IDLE)

    def data_received(self, data: bytes) -> None:
        """Receive part of a request; close the connection if an unused body is too large."""
        super().data_received(data)
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            self._discarded += len(data)
            if self._discarded > MAX_DISCARDED_BYTES:
                self.transport.close()
        self._wait_for(self.conn.their_state)

    def on_response_complete(self) -> None:
        """Limit the wait for the rest of the request's body.

        uvicorn limits the wait for the next request.
        """
        super().on_response_complete()
        state = self.conn.their_state
        self._wait_for(None if state is h11.IDLE else state)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit of the header or body that was expected next."""
        self._wait_for(None)
        super().connection_lost(exc)

    def _wait_for(self, state: State) -> None:
        if state is self._awaited:
            return  # more bytes of the same header or body do not extend the time limit
        self._awaited = state
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = {h11.IDLE: HEADER_SECONDS, h11.SEND_BODY: BODY_SECONDS + GRACE_SECONDS}.get(state)
        if seconds is not None and not self.transport.is_closing():
            self._timer = self.loop.call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        if self.transport.is_closing():
            return
        if self._awaited is h11.IDLE and self.conn.trailing_data[0]:
            self._send_408(f"the header did not arrive within {HEADER_SECONDS:g} seconds")
        self.transport.close()

    def _send_408(self, message: str) -> None:
        body = msgspec.json.encode(Error(message))
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        events: list[Any] = [
            h11.Response(status_code=408, headers=list(headers.items()), reason="Request Timeout"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))


def raise_file_limit() -> None:
    """Allow this process and its children as many open files as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has a lower limit that it does not report
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, 10_240), hard))


@functools.cache
def max_connections() -> int:
    """Return the maximum number of connections; some file descriptors stay free for other uses."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(soft - OTHER_FILES, soft // 2))
