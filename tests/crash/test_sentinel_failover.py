"""A Redis under three Sentinels fails over: nothing is lost or stored twice, and all resume."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.crash_servers import MongoServer, mongod
from tests.support.sentinels import MASTER_NAME, Sentinels, sentinel_trio
from tests.support.waiting import stays, wait_until
from tests.support.workload import (
    Workload,
    assert_workload_resumes,
    workload,
)

pytestmark = pytest.mark.crash

__all__ = ["mongod"]  # a fixture

ASK_AGAIN_SECONDS = 10

Fault = Callable[[Sentinels, Workload], None]


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Sentinels]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with sentinel_trio(folder) as running:
        yield running


def kill_the_master(trio: Sentinels, work: Workload) -> None:
    with work.paused():
        wait_until(lambda: trio.replica.is_in_step_with(trio.master))
        trio.master.kill()
    trio.promote()


# Only while nobody writes: Redis lets both nodes take writes for some seconds.
def fail_over(trio: Sentinels, work: Workload) -> None:
    with work.paused():
        wait_until(lambda: trio.replica.is_in_step_with(trio.master))
        wait_until(lambda: has_failed_over(trio))
        wait_until(lambda: trio.master.follows(trio.replica))


def has_failed_over(trio: Sentinels) -> bool:
    # Rejected while a failover is under way, or if the replica has stalled.
    with contextlib.suppress(redis.ResponseError):
        trio.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", MASTER_NAME)
    return not stays(lambda: not trio.promoted(), ASK_AGAIN_SECONDS)


@pytest.mark.parametrize("fault", [kill_the_master, fail_over], ids=lambda fault: fault.__name__)
def test_workload_survives_a_failover_by_sentinels(
    trio: Sentinels, mongod: MongoServer, tmp_path: Path, fault: Fault
) -> None:
    with workload(trio.url, mongod.url, tmp_path) as work, mongod.client() as mongo:
        fault(trio, work)
        assert_workload_resumes(work, mongo["eventlab"])
