"""Real Redis servers on loopback: one server with options of your choice, or a cluster of six."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from eventlab.lessons.guard import guarded
from eventlab.lessons.ports import free_cluster_port, free_port
from eventlab.lessons.waiting import wait_until
from eventlab.servers.binaries import find_redis

SLOTS = 16384
NODE_TIMEOUT_MS = 2000
#: A command may take long on a busy machine. It is not repeated, because it may have been executed.
COMMAND_SECONDS = 30
#: A probe of a node that may be down times out soon, and is repeated by the caller.
PROBE_SECONDS = 1
NO_REPLY = (redis.RedisError, OSError)


class Node:
    """A Redis server that can be killed, stopped, and restarted with the same port and data."""

    def __init__(self, folder: Path, port: int, *options: str, sentinel: bool = False) -> None:
        folder.mkdir(parents=True)
        self.port = port
        self.folder = folder
        binary = find_redis()
        where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._argv = [str(binary.path), *where, "--logfile", "log", *options]
        if sentinel:
            (folder / "sentinel.conf").touch()
            self._argv[1:1] = [str(folder / "sentinel.conf"), "--sentinel"]
        self._env = os.environ | dict(binary.env)
        self.client = self._connect(COMMAND_SECONDS)
        self._probe = self._connect(PROBE_SECONDS)
        self.start()

    def _connect(self, seconds: float) -> Any:
        options: dict[str, Any] = {"decode_responses": True, "retry": None}
        options |= {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        return redis.Redis(host="127.0.0.1", port=self.port, **options)

    def start(self) -> None:
        """Start the server and wait until it responds."""
        self._process = guarded(self._argv, env=self._env)
        wait_until(self.answers)

    @property
    def process_id(self) -> int:
        """The process id of the server."""
        return self._process.pid

    def answers(self) -> bool:
        """Return whether the server responds to a PING."""
        with contextlib.suppress(*NO_REPLY):
            return bool(self._probe.ping())
        return False

    def wait_until_written(self) -> None:
        """Wait until the operating system has all bytes of the append-only file.

        With ``appendfsync everysec``, Redis keeps them for up to two seconds while the disk is
        busy. (Source: ``flushAppendOnlyFile`` in ``aof.c`` of Redis.)
        """
        wait_until(lambda: not self.client.info("persistence").get("aof_buffer_length"))

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop the server with SIGSTOP: it keeps its connections but does not respond."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a stopped server."""
        self._process.send_signal(signal.SIGCONT)

    def role(self) -> str:
        """Return ``master`` or ``slave``, or an empty string if the server does not respond."""
        return str(self._replication().get("role", ""))

    def follows(self, master: Node) -> bool:
        """Return whether the server is a connected replica of this master."""
        found = self._replication()
        link = (found.get("role"), found.get("master_port"), found.get("master_link_status"))
        return link == ("slave", master.port, "up")

    def is_in_step_with(self, master: Node) -> bool:
        """Return whether the server has received everything that the master has written."""
        written = master._replication().get("master_repl_offset")
        return written is not None and self._replication().get("slave_repl_offset") == written

    def _replication(self) -> dict[str, Any]:
        with contextlib.suppress(*NO_REPLY):
            return dict(self._probe.info("replication"))
        return {}

    def cluster_info(self) -> str:
        """Return what the server reports about its cluster, or nothing if it does not respond."""
        with contextlib.suppress(*NO_REPLY):
            return str(self._probe.execute_command("CLUSTER", "INFO"))
        return ""

    def close(self) -> None:
        """End the server, even if it is stopped."""
        self.resume()
        self.kill()
        for client in (self.client, self._probe):
            client.close()


@dataclass
class Shard:
    """A master of a cluster and its replica."""

    master: Node
    replica: Node

    @property
    def nodes(self) -> list[Node]:
        """The master and its replica."""
        return [self.master, self.replica]

    def promoted(self) -> bool:
        """Return whether the replica has become the master."""
        return self.replica.role() == "master"

    def detach(self) -> None:
        """Stop the replica and cut its link, so that later writes do not reach it."""
        wait_until(lambda: self.replica.is_in_step_with(self.master))
        self.replica.stop()
        self.master.client.execute_command("CLIENT", "KILL", "TYPE", "replica")


@dataclass
class Cluster:
    """A cluster of three shards; the first holds the category passed to ``cluster_of_pairs``."""

    shards: list[Shard]

    @property
    def nodes(self) -> list[Node]:
        """All six nodes."""
        return [node for shard in self.shards for node in shard.nodes]

    @property
    def url(self) -> str:
        """The URL of the cluster, with the addresses of all its nodes."""
        return "redis://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def is_well(self) -> bool:
        """Return whether every node reports that the cluster is healthy."""
        return all("cluster_state:ok" in node.cluster_info() for node in self.nodes)


@contextlib.contextmanager
def cluster_of_pairs(path: Path, category: str, *options: str) -> Iterator[Cluster]:
    """Run a cluster with append-only files: three masters, each with one replica.

    Each server gets the ``options``, such as ``--appendfsync always``.
    """
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(6):
            port = free_cluster_port()
            node = Node(
                path / str(port),
                port,
                *["--appendonly", "yes", "--save", ""],
                *["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)],
                *["--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"],
                *options,
            )
            stack.callback(node.close)
            nodes.append(node)
        masters, replicas = nodes[:3], nodes[3:]
        for number, master in enumerate(masters):
            first = number * SLOTS // 3
            last = (number + 1) * SLOTS // 3 - 1
            master.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            master.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            masters[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        wait_until(lambda: all("cluster_known_nodes:6" in node.cluster_info() for node in nodes))
        for master, replica in zip(masters, replicas, strict=True):
            id = master.client.execute_command("CLUSTER", "MYID")
            replica.client.execute_command("CLUSTER", "REPLICATE", id)
        pairs = list(zip(masters, replicas, strict=True))
        wait_until(lambda: all(replica.follows(master) for master, replica in pairs))
        slot = masters[0].client.execute_command("CLUSTER", "KEYSLOT", category)
        pairs.insert(0, pairs.pop(int(slot) * 3 // SLOTS))
        cluster = Cluster([Shard(master, replica) for master, replica in pairs])
        wait_until(cluster.is_well)
        yield cluster


@contextlib.contextmanager
def one_redis(path: Path, *options: str) -> Iterator[Node]:
    """Run one Redis with options such as ``--appendfsync always``."""
    node = Node(path, free_port(), *options)
    try:
        yield node
    finally:
        node.close()
