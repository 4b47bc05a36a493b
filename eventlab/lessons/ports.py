"""Ports that nobody listens on."""

from __future__ import annotations

import socket
from contextlib import suppress

CLUSTER_BUS_OFFSET = 10_000  # a node of a Redis Cluster also listens this far above its port
MAX_PORT = 65_535


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_cluster_port() -> int:
    """Return a port that is free, and so is the port of the cluster bus that belongs to it."""
    while True:
        with socket.socket() as client, socket.socket() as bus:
            client.bind(("127.0.0.1", 0))
            port = int(client.getsockname()[1])
            if port + CLUSTER_BUS_OFFSET <= MAX_PORT:
                with suppress(OSError):
                    bus.bind(("127.0.0.1", port + CLUSTER_BUS_OFFSET))
                    return port
