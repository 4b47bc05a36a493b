"""A proxy that loses replies: the server executes a request, but the reply never arrives."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from redis import Redis
from redis.cluster import RedisCluster

from eventlab import settings
from eventlab.errors import InvalidArgument


class LossyProxy:
    """A proxy on a unix socket that forwards requests to a server and can lose the replies.

    ``upstream`` is the path of the server's socket, or a function that connects to the server.
    After ``lose(n, b"XADD")``, the proxy closes the connection instead of forwarding the reply to
    each of the next ``n`` requests that contain ``XADD``.
    """

    def __init__(self, path: Path | str, upstream: str | Callable[[], socket.socket]) -> None:
        self.path = str(path)
        self.lost = 0
        self._upstream = upstream
        self._left = 0
        self._word = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, times: int, word: bytes) -> None:
        """Lose the replies to the next ``times`` requests that contain ``word``."""
        self._left = times
        self._word = word

    def close(self) -> None:
        """Stop listening, and close all open connections."""
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _connect(self) -> socket.socket:
        if not isinstance(self._upstream, str):
            return self._upstream()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._upstream)
        return server

    def _serve(self, client: socket.socket) -> None:
        server = self._connect()
        self._open |= {client, server}
        with client, server, contextlib.suppress(OSError):
            while request := client.recv(1 << 20):
                losing = self._left > 0 and self._word in request
                server.sendall(request)
                reply = server.recv(1 << 20)
                if losing and reply:
                    self._left -= 1
                    self.lost += 1
                    break
                client.sendall(reply)
        self._open -= {client, server}


@contextlib.contextmanager
def lossy(path: Path | str, upstream: str | Callable[[], socket.socket]) -> Iterator[LossyProxy]:
    """Open a LossyProxy, and close it at the end of the ``with`` block."""
    proxy = LossyProxy(path, upstream)
    try:
        yield proxy
    finally:
        proxy.close()


@contextlib.contextmanager
def unreliable(redis: Redis) -> Iterator[tuple[Redis, LossyProxy]]:
    """Open a second client for the same server, with a connection that can lose replies.

    Raises InvalidArgument for a cluster, whose clients connect directly to each node.

    >>> with unreliable(lab.redis) as (client, connection):
    ...     connection.lose(1, b"PING")
    ...     client.ping(), connection.lost  # redis-py sends the command again
    (True, 1)
    """
    if isinstance(redis, RedisCluster):
        raise InvalidArgument(
            "unreliable() does not support Redis Cluster: run the notebook against a single Redis "
            f"server, or unset {settings.REDIS_URL}"
        )
    pool: Any = redis.connection_pool
    options = pool.connection_kwargs
    kept = ("username", "password", "db", "decode_responses", "protocol")
    with (
        tempfile.TemporaryDirectory() as folder,
        # Connect as the pool does, with TLS if the pool uses it. The client authenticates itself.
        lossy(Path(folder, "redis.sock"), lambda: pool.make_connection()._connect()) as proxy,
        Redis(
            unix_socket_path=proxy.path, **{name: options[name] for name in kept if name in options}
        ) as client,
    ):
        client.ping()
        yield client, proxy
