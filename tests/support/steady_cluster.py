"""A cluster whose masters stay masters, however long they stall, until a test ends one.

Otherwise, a stalled master would be failed over. When it wakes, it still confirms what it has
received, and then discards it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from eventlab.lessons.redis_nodes import NODE_TIMEOUT_MS, Cluster, Node, Shard, cluster_of_pairs
from tests.support.waiting import wait_until
from tests.support.workload import CATEGORY

STEADY = ["--cluster-replica-no-failover", "yes", "--cluster-node-timeout", "600000"]


@contextlib.contextmanager
def steady_cluster(path: Path, *options: str) -> Iterator[Cluster]:
    """Run a cluster with these options, in which no node considers another node dead."""
    with cluster_of_pairs(path, CATEGORY, *STEADY, *options) as running:
        yield running


def detect_failures(nodes: Iterable[Node]) -> None:
    """Let these nodes notice from now on, within seconds, that another node is down."""
    for node in nodes:
        node.client.config_set("cluster-node-timeout", NODE_TIMEOUT_MS)


def let_take_over(cluster: Cluster, shard: Shard) -> None:
    """Wait until the replica has taken over from its master, which is down."""
    shard.replica.client.config_set("cluster-replica-no-failover", "no")
    detect_failures(node for node in cluster.nodes if node is not shard.master)
    wait_until(shard.promoted)


def lose(cluster: Cluster, shard: Shard) -> None:
    """Kill the master; the replica takes over without the writes that it has not received."""
    shard.master.kill()
    shard.replica.resume()
    let_take_over(cluster, shard)
