"""Ports that no process listens on, and that no other process can get in the meantime.

Between the moment when a port is found and the moment when a server listens on it, any program
could get it: parallel tests did. So this process keeps the port bound, without listening, for as
long as it runs. A server that sets SO_REUSEADDR, as all of ours do, may still listen on it, and no
client can connect until one does.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Final

CLUSTER_BUS_OFFSET: Final = 10_000  # a node of a Redis Cluster also listens this far above its port
MAX_PORT: Final = 65_535
#: Other systems do not bind two sockets to one port, even if neither of them listens.
KEEPS_PORTS: Final = sys.platform == "linux"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with _bound(0) as found:
        return _kept(found)


def free_cluster_port() -> int:
    """Return a free port for a cluster node; its cluster bus port is free, too."""
    while True:
        with _bound(0) as client:
            bus_port = client.getsockname()[1] + CLUSTER_BUS_OFFSET
            if bus_port <= MAX_PORT:
                with suppress(OSError), _bound(bus_port) as bus:
                    _kept(bus)
                    return _kept(client)


def _bound(port: int) -> socket.socket:
    """Return a socket that is bound to a port, or to a free one for 0; raises OSError."""
    found = socket.socket()
    try:
        found.bind(("127.0.0.1", port))  # before the option: with it, another one could hold it
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, KEEPS_PORTS)
    except OSError:
        found.close()
        raise
    return found


def _kept(found: socket.socket) -> int:
    """Keep a port bound until the process ends, and return it."""
    port = int(found.getsockname()[1])
    if KEEPS_PORTS:
        found.detach()  # the descriptor stays open; it is not inherited by servers
    return port
