"""A real Redis Cluster of three masters, on ports of its own, for the length of a with block."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.cluster import ClusterNode, RedisCluster

from eventlab.servers.binaries import find_redis

SLOTS = 16384
BUS = 10_000  # a node's bus listens that much above its port


def _free_port() -> int:
    while True:
        with socket.socket() as first, socket.socket() as bus:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            if port + BUS < 65_536:
                with contextlib.suppress(OSError):
                    bus.bind(("127.0.0.1", port + BUS))
                    return port


def _until(ready: object, *, timeout: float = 30) -> None:
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(redis.RedisError):
            if ready():  # type: ignore[operator]
                return
        assert time.monotonic() < end, "the cluster did not come up"
        time.sleep(0.05)


@contextlib.contextmanager
def cluster(path: Path) -> Iterator[RedisCluster]:
    """Start it, and give a client that decodes nothing."""
    binary = find_redis()
    with contextlib.ExitStack() as stack:
        ports = [_free_port() for _ in range(3)]
        nodes = []
        for port in ports:
            folder = path / str(port)
            folder.mkdir()
            command = [
                str(binary.path),
                "--port",
                str(port),
                "--bind",
                "127.0.0.1",
                "--cluster-enabled",
                "yes",
            ]
            command += [
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                str(folder),
                "--logfile",
                "log",
            ]
            process = subprocess.Popen(
                command, env=os.environ | dict(binary.env), stdout=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            # By number: a minimal machine knows no localhost.
            nodes.append(stack.enter_context(redis.Redis(host="127.0.0.1", port=port)))
        for number, node in enumerate(nodes):
            _until(node.ping)
            share = range(number * SLOTS // 3, (number + 1) * SLOTS // 3)
            node.execute_command("CLUSTER", "ADDSLOTS", *share)
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        for node in nodes:
            _until(
                lambda node=node: (
                    b"cluster_state:ok"
                    in node.execute_command("CLUSTER", "INFO", NEVER_DECODE=True)
                    and node.execute_command("CLUSTER", "INFO", NEVER_DECODE=True).count(
                        b"cluster_known_nodes:3"
                    )
                )
            )
        startup = [ClusterNode("127.0.0.1", port) for port in ports]
        yield stack.enter_context(RedisCluster(startup_nodes=startup))
