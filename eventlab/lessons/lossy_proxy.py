"""A proxy that loses replies: the server executes the request, but the reply never arrives."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class LossyProxy:
    """A unix socket in front of a server's own socket.

    After ``lose(n, b"XADD")`` it cuts the connection for the next ``n`` requests that contain
    ``XADD`` instead of forwarding the reply.
    """

    def __init__(self, path: Path | str, upstream: str) -> None:
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
        server = socket.socket(socket.AF_UNIX)
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
def lossy(path: Path | str, upstream: str) -> Iterator[LossyProxy]:
    """Open a LossyProxy, and close it at the end of the ``with`` block."""
    proxy = LossyProxy(path, upstream)
    try:
        yield proxy
    finally:
        proxy.close()
