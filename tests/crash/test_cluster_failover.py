"""A Redis Cluster fails over under load: nothing is lost or doubled, and every process resumes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from eventlab import Event
from eventlab.lessons.redis_nodes import Cluster, Node
from tests.support.crash_servers import MongoServer, mongod
from tests.support.steady_cluster import detect_failures, let_take_over, steady_cluster
from tests.support.waiting import stays, wait_until
from tests.support.workload import (
    CATEGORY,
    Workload,
    assert_workload_resumes,
    workload,
)

pytestmark = pytest.mark.crash

__all__ = ["mongod"]  # a fixture

CREATE = Event("create")
GIVEN_UP_SECONDS = 10  # by then, Redis has given up a failover that a stalled node has delayed
Fault = Callable[[Cluster, Workload], None]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    # By default, a kill may lose the last two seconds of what Redis has confirmed.
    with steady_cluster(folder, "--appendfsync", "always") as running:
        yield running


# Redis replicates after it has answered: a master that dies in between loses what it has just
# confirmed. Here the replica is in sync; losses have their own test.
def kill_the_master(cluster: Cluster, work: Workload) -> None:
    shard = cluster.shards[0]
    with work.paused():
        wait_until(lambda: shard.replica.is_in_step_with(shard.master))
        shard.master.kill()
    let_take_over(cluster, shard)


def stop_the_master(cluster: Cluster, work: Workload) -> None:
    shard = cluster.shards[0]
    with work.paused():
        wait_until(lambda: shard.replica.is_in_step_with(shard.master))
        shard.master.stop()
    let_take_over(cluster, shard)
    # Nobody may still wait for the stopped master, or turn to it: when it wakes, it confirms what
    # it receives before it learns that it is no master, and discards it.
    work.wait_for_progress()
    with work.paused():
        shard.master.resume()
        wait_until(lambda: shard.master.follows(shard.replica))


def fail_over(cluster: Cluster, work: Workload) -> None:
    shard = cluster.shards[0]

    def has_failed_over() -> bool:
        with contextlib.suppress(redis.ResponseError):  # it has become the master just now
            shard.replica.client.execute_command("CLUSTER", "FAILOVER")
        return not stays(lambda: not shard.promoted(), GIVEN_UP_SECONDS)

    wait_until(has_failed_over)


def take_another_shard_down(cluster: Cluster, work: Workload) -> None:
    other = cluster.shards[1]
    for node in (other.replica, other.master):
        node.kill()
    detect_failures(cluster.shards[0].nodes + cluster.shards[2].nodes)
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
    before = _redirections(source) + _redirections(target)
    while keys := _keys_in(source, slot):
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 20_000, "KEYS", *keys
        )
    for node in (target, source, cluster.shards[2].master):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
    assert _redirections(source) + _redirections(target) > before, "no append met the slot"


def _redirections(node: Node) -> int:
    """Return how many commands a node has sent on, or back, because their slot was moving."""
    errors = node.client.info("errorstats")
    return sum(
        int(errors.get(f"errorstat_{name}", {"count": 0})["count"]) for name in ("ASK", "TRYAGAIN")
    )


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
