"""A line to a server that can lose answers: the request arrives and is done, its answer never comes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class LossyProxy:
    """A unix socket in front of another one. After ``lose(n, b"XADD")`` it cuts the connection n times instead of
    passing on the answer to such a request.

    >>> with lossy(folder / "line", "/path/of/redis.sock") as line:
    ...     client = redis.Redis(unix_socket_path=line.path)
    ...     line.lose(1, b"XADD")
    """

    def __init__(self, path: Path | str, upstream: str) -> None:
        self.path = str(path)
        self.lost = 0
        self._upstream = upstream
        self._left, self._word = 0, b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, times: int, word: bytes) -> None:
        """Lose the answers of the next requests that hold a word."""
        self._left, self._word = times, word

    def close(self) -> None:
        """Stop listening, and cut what is open."""
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
        server = socket.socket(socket.AF_UNIX)
        self._open |= {client, server}
        with client, server, contextlib.suppress(OSError):
            server.connect(self._upstream)
            while request := client.recv(1 << 20):
                losing = self._left > 0 and self._word in request
                server.sendall(request)
                answer = server.recv(1 << 20)
                if losing and answer:
                    self._left -= 1
                    self.lost += 1
                    break
                client.sendall(answer)
        self._open -= {client, server}


@contextlib.contextmanager
def lossy(path: Path | str, upstream: str) -> Iterator[LossyProxy]:
    """A LossyProxy for the length of a with block."""
    proxy = LossyProxy(path, upstream)
    try:
        yield proxy
    finally:
        proxy.close()
