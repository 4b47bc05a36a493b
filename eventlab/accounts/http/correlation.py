"""The correlation id: it links a request with its response and with the events it caused."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventlab.accounts.http.responses import error

HEADER: Final = "X-Correlation-Id"
PATTERN: Final = r"^[!-~]{1,128}$"


class Correlation:
    """ASGI middleware: each response has the ``X-Correlation-Id`` of its request, or a new one.

    The id is in ``request.state.correlation_id``. The response to an invalid id is 400.
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
