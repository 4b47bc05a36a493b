"""A port that was found free stays free for the server that it was found for."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from eventlab.lessons.ports import (
    CLUSTER_BUS_OFFSET,
    KEEPS_PORTS,
    free_cluster_port,
    free_port,
)

pytestmark = pytest.mark.skipif(not KEEPS_PORTS, reason="only Linux lets a port be kept")


@pytest.mark.parametrize(("find", "offset"), [
    (free_port, 0), (free_cluster_port, 0), (free_cluster_port, CLUSTER_BUS_OFFSET),
])  # fmt: skip
def test_free_port_is_kept_for_a_server(find: Callable[[], int], offset: int) -> None:
    address = "127.0.0.1", find() + offset
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(address)  # as anyone does who looks for a free port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    for _ in range(2):  # also after a restart
        with socket.create_server(address), socket.create_connection(address):
            pass
