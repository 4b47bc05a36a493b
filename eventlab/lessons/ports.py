"""Find ports that no process listens on, and reserve them for a server.

After a port is found, another program could take it before the server listens on it, as happened in
parallel tests. Therefore, this process keeps the port bound, without listening, for as long as it
runs. A server that sets SO_REUSEADDR, like all servers of this project, can still listen on the
port, and no client can connect until a server listens.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Final

CLUSTER_BUS_OFFSET: Final = 10_000  # a cluster node also listens on its port plus this number
MAX_PORT: Final = 65_535
#: Other systems do not let two sockets bind to one port, even if neither of them listens.
KEEPS_PORTS: Final = sys.platform == "linux"


def free_port() -> int:
    """Return a port of 127.0.0.1 that no process listens on."""
    with _bound(0) as found:
        return _kept(found)


def free_cluster_port() -> int:
    """Return a free port for a cluster node whose cluster bus port is also free."""
    while True:
        with _bound(0) as client:
            bus_port = client.getsockname()[1] + CLUSTER_BUS_OFFSET
            if bus_port <= MAX_PORT:
                with suppress(OSError), _bound(bus_port) as bus:
                    _kept(bus)
                    return _kept(client)


def _bound(port: int) -> socket.socket:
    """Return a socket bound to a port, or to any free port for 0; raise OSError on failure."""
    found = socket.socket()
    try:
        found.bind(("127.0.0.1", port))  # before SO_REUSEADDR, which would allow a port in use
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, KEEPS_PORTS)
    except OSError:
        found.close()
        raise
    return found


def _kept(found: socket.socket) -> int:
    """Keep a port bound until the process ends, and return the port."""
    port = int(found.getsockname()[1])
    if KEEPS_PORTS:
        found.detach()  # the descriptor stays open, and servers do not inherit it
    return port
