"""The listening sockets of the service."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from typing import Final

from eventlab.errors import EventLabError

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class CannotListen(EventLabError):
    """The service cannot listen on an address."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host = host
        self.port = port
        self.reason = reason
        super().__init__(
            f"cannot listen on {host!r}, port {port} ({reason}): choose another host or port with "
            "--host or --port"
        )


def listen(host: str, port: int) -> list[socket.socket]:
    """Return a bound TCP socket for each address of a host; an empty host means all addresses.

    Connections send small packets immediately. uvicorn's own listening socket names no protocol, so
    asyncio leaves Nagle's algorithm on, and every response would wait 40 ms for the delayed
    acknowledgment of the client. Raises CannotListen.
    """
    try:
        return _listen(host, port)
    except OSError as error:
        raise CannotListen(host, port, error.strerror or str(error)) from error
    except UnicodeError as error:
        raise CannotListen(host, port, "it is not a host name") from error


def is_loopback(listeners: list[socket.socket]) -> bool:
    """Return whether the sockets accept connections from this machine only."""
    return all(
        ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
        for listener in listeners
    )


def _listen(host: str, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    missing: OSError | None = None
    with contextlib.ExitStack() as undo:
        bound = []
        for family, kind, _, _, address in dict.fromkeys(found):
            try:
                listener = socket.socket(family, kind, socket.IPPROTO_TCP)
                undo.enter_context(listener)
                _bind(listener, address)
            except OSError as error:
                if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise
                missing = error  # such as ::1 on a machine without IPv6
            else:
                bound.append(listener)
        if missing is not None and not bound:
            raise missing
        undo.pop_all()
    return bound


def _bind(listener: socket.socket, address: tuple[object, ...]) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by connections
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(address)
    listener.set_inheritable(True)
