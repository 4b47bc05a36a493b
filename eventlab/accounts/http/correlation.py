"""The correlation id and the trace, which link a request with its response and its events."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventlab.accounts.http.responses import error
from eventlab.events import Data

HEADER: Final = "X-Correlation-Id"
PATTERN: Final = r"^[!-~]{1,128}$"

#: W3C Trace Context requires that a header of any other form be ignored.
TRACEPARENT: Final = re.compile(
    "(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


class Correlation:
    """ASGI middleware that adds the request's ``X-Correlation-Id``, or a new one, to the response.

    The id is also in ``request.state.correlation_id``. The response to an invalid id is 400.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = _given(scope["headers"])
        usable = given is not None and re.fullmatch(PATTERN, given) is not None
        id = given if given is not None and usable else secrets.token_urlsafe(16)
        scope.setdefault("state", {})["correlation_id"] = id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER.lower().encode(), id.encode())]
            await send(message)

        if given is None or usable:
            await self._app(scope, receive, send_with_id)
        else:
            rejection = error(400, f"{HEADER}: must be 1 to 128 visible ASCII characters")
            await rejection(scope, receive, send_with_id)


def _given(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    wanted = HEADER.lower().encode()
    return next((value.decode("latin-1") for name, value in headers if name == wanted), None)


def meta_of(request: Request) -> Data:
    """Return the meta for a request's events: the correlation id, and the trace if it is valid."""
    meta = {"correlation_id": request.state.correlation_id}
    given = request.headers.getlist("traceparent")
    if len(given) == 1 and TRACEPARENT.fullmatch(given[0]):
        meta["traceparent"] = given[0]
    return meta
