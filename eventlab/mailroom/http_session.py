"""The HTTP session of the mailroom's clients: it has time limits and follows no redirects."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from eventlab.mailroom.urls import is_loopback

USER_AGENT: Final = "eventlab"


class NoAuth(AuthBase):
    """Sends no Authorization header.

    Pass an instance explicitly. Otherwise, the ``requests`` library would use the credentials in
    ``~/.netrc``.
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request unchanged."""
        return request


class LimitedReader(io.RawIOBase):
    """Reads from a socket for at most ``seconds`` in total, however slowly the bytes arrive.

    A socket's own timeout applies to each wait, so a peer that sends one byte per wait never
    exceeds that timeout.
    """

    def __init__(self, connection: socket.socket, raw: io.RawIOBase, seconds: float) -> None:
        self._connection = connection
        self._raw = raw
        self._patience = connection.gettimeout()
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read bytes into ``buffer``, or raise TimeoutError once the time is up."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response took too long")
        self._connection.settimeout(left if self._patience is None else min(left, self._patience))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close the reader, but leave the connection open for its owner."""
        if not self.closed:
            self._raw.close()
        super().close()


def _pool_classes(max_seconds: float) -> dict[str, Any]:
    """Return urllib3 pool classes whose responses must end within ``max_seconds``.

    The limit covers the status line, all headers, any "100 Continue" responses, and the body.
    """

    class LimitedResponse(http.client.HTTPResponse):
        def __init__(
            self,
            sock: socket.socket,
            debuglevel: int = 0,
            method: str | None = None,
            url: str | None = None,
        ) -> None:
            super().__init__(sock, debuglevel, method, url)
            raw = self.fp.detach()
            self.fp = io.BufferedReader(LimitedReader(sock, raw, max_seconds))

    class LimitedHTTP(HTTPConnection):
        response_class = LimitedResponse

    class LimitedHTTPS(HTTPSConnection):
        response_class = LimitedResponse

    class HTTPPool(HTTPConnectionPool):
        ConnectionCls = LimitedHTTP

    class HTTPSPool(HTTPSConnectionPool):
        ConnectionCls = LimitedHTTPS

    return {"http": HTTPPool, "https": HTTPSPool}


class LimitedAdapter(HTTPAdapter):
    """A ``requests`` transport adapter whose responses must end within ``max_seconds``.

    >>> session = requests.Session()
    >>> session.mount("https://", LimitedAdapter(max_seconds=30))
    """

    def __init__(self, *, max_seconds: float) -> None:
        self._pool_classes = _pool_classes(max_seconds)
        super().__init__()

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: object
    ) -> None:
        """Create the pools for direct connections."""
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **options: object) -> Any:
        """Return the pools for connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):  # SOCKS has its own classes
            manager.pool_classes_by_scheme = self._pool_classes
        return manager


class HttpSession:
    """Sends requests and returns every response, whatever its status; redirects are not followed.

    The session uses the environment's proxy (``HTTPS_PROXY``, ``NO_PROXY``), but connects directly
    to localhost. ``timeout`` is a pair of limits, in seconds: for each connect and for each read. A
    whole response must end within ``max_seconds``.
    """

    def __init__(self, *, timeout: tuple[float, float], max_seconds: float) -> None:
        self._timeout = timeout
        self._remote = requests.Session()
        self._local = requests.Session()
        self._local.trust_env = False  # no proxy for this machine
        for session in (self._remote, self._local):
            session.headers["User-Agent"] = USER_AGENT
            for scheme in ("http://", "https://"):
                session.mount(scheme, LimitedAdapter(max_seconds=max_seconds))

    @contextmanager
    def send(self, request: requests.Request) -> Iterator[requests.Response]:
        """Send a request and yield the response; read the body inside the ``with`` block."""
        session = self._local if is_loopback(request.url) else self._remote
        prepared = session.prepare_request(request)
        options: Any = session.merge_environment_settings(request.url, {}, True, None, None)
        # Not session.send, which would prepare the next request even for a redirect that is not
        # followed. This way, the token goes only to the host of the URL that was requested.
        adapter = session.get_adapter(request.url)
        with adapter.send(prepared, timeout=self._timeout, **options) as response:
            yield response

    def close(self) -> None:
        """Close the connections; the session can be used again afterwards."""
        self._remote.close()
        self._local.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
