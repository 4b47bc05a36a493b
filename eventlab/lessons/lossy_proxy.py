"""A proxy that loses replies: the server executes the request, but the reply never arrives."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from redis import Redis


class LossyProxy:
    """A unix socket in front of a server's own socket, or of its host and port.

    After ``lose(n, b"XADD")`` it cuts the connection for the next ``n`` requests that contain
    ``XADD`` instead of forwarding the reply.
    """

    def __init__(self, path: Path | str, upstream: str | tuple[str, int]) -> None:
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
        """Stop listening, and cut all open connections."""
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

    def _serve(self, client: socket.socket) -> None:
        by_path = isinstance(self._upstream, str)
        server = socket.socket(socket.AF_UNIX if by_path else socket.AF_INET)
        self._open |= {client, server}
        with client, server, contextlib.suppress(OSError):
            server.connect(self._upstream)
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
def lossy(path: Path | str, upstream: str | tuple[str, int]) -> Iterator[LossyProxy]:
    """Open a LossyProxy, and close it at the end of the ``with`` block."""
    proxy = LossyProxy(path, upstream)
    try:
        yield proxy
    finally:
        proxy.close()


@contextlib.contextmanager
def unreliable(redis: Redis) -> Iterator[tuple[Redis, LossyProxy]]:
    """Open a second client of the same server, whose connection can lose replies.

    >>> with unreliable(lab.redis) as (client, connection):
    ...     connection.lose(1, b"PING")
    ...     client.ping(), connection.lost  # redis-py sends the command again
    (True, 1)
    """
    options = dict(redis.connection_pool.connection_kwargs)
    host, port = options.pop("host", "localhost"), options.pop("port", 6379)
    upstream = options.pop("path", None) or (host, port)
    kept = ("username", "password", "db", "decode_responses", "protocol")
    with (
        tempfile.TemporaryDirectory() as folder,
        lossy(Path(folder, "redis.sock"), upstream) as proxy,
        Redis(
            unix_socket_path=proxy.path, **{name: options[name] for name in kept if name in options}
        ) as client,
    ):
        client.ping()
        yield client, proxy
