"""Faults to order: a stand-in that answers 429, loses its answer, or hangs up, as often as one wants to see it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from starlette.responses import JSONResponse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to the next requests whose ``METHOD /path`` holds ``on``; the first ``skip`` of them pass.

    ``status`` answers with that status instead (``body`` as JSON, ``headers`` beside it); ``drop`` hangs up, ``before``
    the app has seen the request or ``after`` it has done its work; ``delay`` waits so many seconds first.
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
    """The faults that a stand-in still owes; safe to order from another thread."""

    def __init__(self) -> None:
        self._owed: list[Fault] = []
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def order(self, *faults: Fault) -> None:
        """Owe these too, in their order."""
        with self._lock:
            self._owed += faults

    def clear(self) -> None:
        """Owe nothing any more."""
        with self._lock:
            self._owed.clear()

    def seen(self, on: str) -> int:
        """How many requests have come whose ``METHOD /path`` holds ``on``, those that met a fault among them.

        >>> faults.seen("POST /token")
        1
        """
        with self._lock:
            return sum(times for request, times in self._seen.items() if on in request)

    def take(self, request: str) -> Fault | None:
        """The fault that this request (``POST /token``) meets, or None."""
        with self._lock:
            self._seen[request] += 1
            for at, fault in enumerate(self._owed):
                if fault.on not in request:
                    continue
                if fault.skip:
                    self._owed[at] = replace(fault, skip=fault.skip - 1)
                elif fault.times == 1:
                    del self._owed[at]
                    return fault
                else:
                    self._owed[at] = replace(fault, times=fault.times - 1)
                    return fault
        return None


class FaultyApp:
    """An app behind its faults; put it outermost, where the connection can still be cut."""

    def __init__(self, app: App, faults: Faults) -> None:
        self._app, self._faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
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
            await self._app(scope, receive, _nowhere)
        if fault.drop is not None:
            _hang_up(send)
        elif fault.status is not None:
            answer = JSONResponse(fault.body, fault.status, dict(fault.headers))
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _nowhere(_message: MutableMapping[str, Any]) -> None:
    pass


def _hang_up(send: Any) -> None:
    send.__self__.transport.abort()  # uvicorn's send is a method of the request, which knows its connection
