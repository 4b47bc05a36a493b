"""A Redis Cluster fails over under load: nothing is lost or doubled, and every process resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventlab import Event
from eventlab.lessons.redis_nodes import Cluster, Node, cluster_of_pairs
from tests.support.crash_servers import MongoServer, mongod
from tests.support.waiting import wait_until
from tests.support.workload import (
    CATEGORY,
    Workload,
    assert_workload_resumes,
    workload,
)

pytestmark = pytest.mark.crash

__all__ = ["mongod"]  # a fixture

CREATE = Event("create")
Fault = Callable[[Cluster, Workload], None]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    with cluster_of_pairs(folder, CATEGORY) as running:
        yield running


# Redis replicates after it has answered: a master that dies in between loses what it has just
# confirmed. Here the replica is in sync; losses have their own test.
def kill_the_master(cluster: Cluster, work: Workload) -> None:
    shard = cluster.shards[0]
    with work.paused():
        wait_until(lambda: shard.replica.is_in_step_with(shard.master))
        shard.master.kill()
    wait_until(shard.promoted)


def stop_the_master(cluster: Cluster, work: Workload) -> None:
    shard = cluster.shards[0]
    with work.paused():
        wait_until(lambda: shard.replica.is_in_step_with(shard.master))
        shard.master.stop()
    wait_until(shard.promoted)
    # Nobody may still wait for the stopped master: when it wakes, it confirms what it has
    # received before it learns that it is no master, and discards it.
    work.wait_for_progress()
    shard.master.resume()
    wait_until(lambda: shard.master.follows(shard.replica))


def fail_over(cluster: Cluster, work: Workload) -> None:
    shard = cluster.shards[0]
    shard.replica.client.execute_command("CLUSTER", "FAILOVER")
    wait_until(shard.promoted)


def take_another_shard_down(cluster: Cluster, work: Workload) -> None:
    other = cluster.shards[1]
    for node in (other.replica, other.master):
        node.kill()
    wait_until(lambda: not cluster.is_well() and any(work.seen_errors()))
    for node in (other.master, other.replica):
        node.start()
    wait_until(cluster.is_well)


def restart_all_nodes(cluster: Cluster, work: Workload) -> None:
    for node in cluster.nodes:
        node.kill()
    wait_until(lambda: any(work.seen_errors()))
    for node in cluster.nodes:
        node.start()
    wait_until(cluster.is_well)


def move_the_slot(cluster: Cluster, work: Workload) -> None:
    source = cluster.shards[0].master
    target = cluster.shards[1].master
    slot = int(source.client.execute_command("CLUSTER", "KEYSLOT", CATEGORY))
    ids = {node: node.client.execute_command("CLUSTER", "MYID") for node in (source, target)}
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    while keys := _keys_in(source, slot):
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
        )
    for node in (target, source, cluster.shards[2].master):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])


def _keys_in(node: Node, slot: int) -> list[str]:
    keys: list[str] = node.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10)
    return keys


@pytest.mark.parametrize(
    "fault",
    [
        kill_the_master,
        stop_the_master,
        fail_over,
        take_another_shard_down,
        restart_all_nodes,
        move_the_slot,
    ],
    ids=lambda fault: fault.__name__,
)
def test_workload_survives_a_fault_of_the_cluster(
    cluster: Cluster, mongod: MongoServer, tmp_path: Path, fault: Fault
) -> None:
    with workload(cluster.url, mongod.url, tmp_path) as work, mongod.client() as mongo:
        if fault is move_the_slot:
            for number in range(3000):
                work.store.append(f"key{number}", [CREATE], expected=0)
        fault(cluster, work)
        assert_workload_resumes(work, mongo["eventlab"])
