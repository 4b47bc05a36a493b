"""A real Redis Cluster of three masters on free ports, for the duration of a with block."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.cluster import ClusterNode, RedisCluster

from eventlab.lessons.ports import free_cluster_port
from eventlab.servers.binaries import find_redis
from tests.support.crash_servers import answers
from tests.support.waiting import wait_until

SLOTS = 16384
MASTERS = 3
IN_MEMORY = ["--save", "", "--appendonly", "no"]


@contextlib.contextmanager
def cluster(path: Path, *options: str) -> Iterator[RedisCluster]:
    """Start a cluster, in memory by default, and yield a client that returns bytes."""
    binary = find_redis()
    with contextlib.ExitStack() as stack:
        ports = [free_cluster_port() for _ in range(MASTERS)]
        nodes = []
        for port in ports:
            folder = path / str(port)
            folder.mkdir()
            where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
            process = subprocess.Popen(
                [
                    str(binary.path),
                    *where,
                    *IN_MEMORY,
                    "--cluster-enabled",
                    "yes",
                    "--logfile",
                    "log",
                    *options,
                ],
                env=os.environ | dict(binary.env),
                stdout=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            # By number: a minimal machine cannot resolve "localhost".
            nodes.append(stack.enter_context(redis.Redis(host="127.0.0.1", port=port)))
        for number, node in enumerate(nodes):
            wait_until(lambda node=node: answers(node))
            share = range(number * SLOTS // MASTERS, (number + 1) * SLOTS // MASTERS)
            node.execute_command("CLUSTER", "ADDSLOTS", *share)
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        for node in nodes:
            wait_until(lambda node=node: _is_complete(node))
        startup = [ClusterNode("127.0.0.1", port) for port in ports]
        yield stack.enter_context(RedisCluster(startup_nodes=startup))


def _is_complete(node: redis.Redis) -> bool:
    info = node.execute_command("CLUSTER", "INFO", NEVER_DECODE=True)
    return b"cluster_state:ok" in info and b"cluster_known_nodes:%d" % MASTERS in info
