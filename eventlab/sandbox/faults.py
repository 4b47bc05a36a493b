"""Fault injection: make a fake server return an error, lose a response, or close a connection."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from starlette.responses import JSONResponse, PlainTextResponse

from eventlab.mailroom.urls import is_loopback

WRONG_HOST = "This fake server accepts only requests to 127.0.0.1 or localhost"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault for the next ``times`` requests whose ``METHOD /path`` contains ``on``.

    The first ``skip`` matching requests are served normally. With ``status``, the response has that
    status, ``headers``, and ``body`` as JSON. ``drop`` closes the connection ``"before"`` the app
    receives the request or ``"after"`` the app has processed it. ``delay`` adds a delay in seconds.
    """

    on: str
    times: int = 1
    skip: int = 0
    status: int | None = None
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    drop: Literal["before", "after"] | None = None
    delay: float = 0


class Faults:
    """The pending faults of a fake server. Safe to use from several threads."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def order(self, *faults: Fault) -> None:
        """Add faults, which are injected in the given order."""
        with self._lock:
            self._pending += faults

    def clear(self) -> None:
        """Remove all pending faults."""
        with self._lock:
            self._pending.clear()

    def seen(self, on: str) -> int:
        """Return the number of requests so far whose ``METHOD /path`` contains ``on``.

        The count includes requests with a fault.

        >>> faults.seen("POST /token")
        1
        """
        with self._lock:
            return sum(times for request, times in self._seen.items() if on in request)

    def take(self, request: str) -> Fault | None:
        """Count a request such as ``POST /token``, and return the fault to inject, or None."""
        with self._lock:
            self._seen[request] += 1
            for at, fault in enumerate(self._pending):
                if fault.on not in request:
                    continue
                if fault.skip:
                    self._pending[at] = replace(fault, skip=fault.skip - 1)
                elif fault.times == 1:
                    del self._pending[at]
                    return fault
                else:
                    self._pending[at] = replace(fault, times=fault.times - 1)
                    return fault
        return None


class FaultyApp:
    """An app that injects faults. It must be the outermost app in order to close connections."""

    def __init__(self, app: App, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "http" and not _is_for_this_machine(scope):
            await PlainTextResponse(WRONG_HOST, 400)(scope, receive, send)
            return
        fault = (
            self._faults.take(f"{scope['method']} {scope['path']}")
            if scope["type"] == "http"
            else None
        )
        if fault is None:
            await self._app(scope, receive, send)
            return
        await asyncio.sleep(fault.delay)
        if fault.drop == "after":
            await self._app(scope, receive, _discard)
        if fault.drop is not None:
            _close_connection(send)
        elif fault.status is not None:
            response = JSONResponse(fault.body, fault.status, dict(fault.headers))
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_for_this_machine(scope: Scope) -> bool:
    """Return whether the Host header names this machine.

    In a DNS rebinding attack, the header contains the host name of the attacking web page instead.
    """
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return len(hosts) == 1 and is_loopback(f"http://{hosts[0]}")


async def _discard(_message: MutableMapping[str, Any]) -> None:
    pass


def _close_connection(send: Any) -> None:
    # In uvicorn, send is a method of the request object, which has the connection.
    send.__self__.transport.abort()
