"""ASGI middleware that serves HEAD and rejects ambiguous requests, which a proxy could misread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from eventlab.accounts.http.responses import error

HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+?)\.?(?::[0-9]*)?")
#: These headers must not occur twice, because a proxy might check the first occurrence, and the
#: service might use the second.
ONCE: Final = (b"content-type", b"host", b"idempotency-key", b"x-correlation-id")
ENCODED_SLASH: Final = b"%2f"


class Admission:
    """ASGI middleware that passes a request on, or responds with a 400 and the reason.

    ``hosts`` are the values of ``Host``, without a port, that are served (None: all). A HEAD
    request is handled as GET, but its response has no body.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None = None) -> None:
        self._app = app
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (reason := self._objection(scope)) is not None:
            await error(400, reason, {"Connection": "close"})(scope, receive, send)
        elif scope["method"] == "HEAD":  # the server drops the body
            await self._app({**scope, "method": "GET"}, receive, send)
        else:
            await self._app(scope, receive, send)

    def _objection(self, scope: Scope) -> str | None:
        names = Counter(name for name, _ in scope["headers"])
        for name in ONCE:
            if names[name] > 1:
                return f"{name.decode().title()}: must appear only once, not {names[name]} times"
        if names[b"transfer-encoding"] and names[b"content-length"]:
            return "Content-Length: must not be sent together with Transfer-Encoding"
        if ENCODED_SLASH in scope.get("raw_path", b"").lower():
            return "id: must not contain '/', which separates the segments of a path"
        if self._hosts is not None and names[b"host"]:
            return _foreign(scope, self._hosts)
        return None


def _foreign(scope: Scope, hosts: Collection[str]) -> str | None:
    given = next(value.decode("latin-1") for name, value in scope["headers"] if name == b"host")
    found = HOST.fullmatch(given.lower())
    if found is not None and found[1] in hosts:
        return None
    return (
        f"Host: {given[:100]!r} is not served here: use 127.0.0.1, or start the service with"
        " --allow-host"
    )
