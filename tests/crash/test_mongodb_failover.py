"""A MongoDB replica set fails over under load: every view resumes by itself and is exact."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError

from eventlab.lessons.mongodb_members import ReplicaSet, replica_set_of_three
from eventlab.store.keys import order
from tests.support.crash_servers import RedisServer, redis_server
from tests.support.views import assert_views_are_exact, views_caught_up
from tests.support.waiting import wait_until
from tests.support.workload import (
    Workload,
    assert_each_outage_is_logged_once,
    assert_nothing_lost_or_doubled,
    workload,
)

pytestmark = pytest.mark.crash

__all__ = ["redis_server"]  # a fixture

STOPPED_SECONDS = 15
NO_MAJORITY_SECONDS = 12

Fault = Callable[[ReplicaSet, Workload], None]


@pytest.fixture
def replica_set(tmp_path: Path) -> Iterator[ReplicaSet]:
    folder = tmp_path / "members"
    folder.mkdir()
    with replica_set_of_three(folder) as running:
        yield running


def kill_the_primary_twice(replica_set: ReplicaSet, work: Workload) -> None:
    first = replica_set.primary()
    first.kill()
    second = replica_set.primary(other_than=first)
    first.start()
    replica_set.wait_until_complete()
    second.kill()
    replica_set.primary(other_than=second)


def step_down(replica_set: ReplicaSet, work: Workload) -> None:
    primary = replica_set.primary()
    before = [customer.funds for customer in work.customers]
    primary.client.admin.command("replSetStepDown", 30)
    replica_set.primary(other_than=primary)
    # An election may take less time than a deposit on a busy machine.
    wait_until(
        lambda: all(new.funds > old for old, new in zip(before, work.customers, strict=True))
    )


def stop_the_primary(replica_set: ReplicaSet, work: Workload) -> None:
    primary = replica_set.primary()
    primary.stop()
    time.sleep(STOPPED_SECONDS)
    primary.resume()


def take_the_majority_away(replica_set: ReplicaSet, work: Workload) -> None:
    primary = replica_set.primary()
    others = [member for member in replica_set.members if member is not primary]
    for member in others:
        member.kill()
    time.sleep(NO_MAJORITY_SECONDS)
    for member in others:
        member.start()


@pytest.mark.parametrize(
    "fault",
    [kill_the_primary_twice, step_down, stop_the_primary, take_the_majority_away],
    ids=lambda fault: fault.__name__,
)
def test_workload_survives_a_fault_of_the_replica_set(
    redis_server: RedisServer, replica_set: ReplicaSet, tmp_path: Path, fault: Fault
) -> None:
    with (
        workload(redis_server.url, replica_set.url, tmp_path) as work,
        pymongo.MongoClient(replica_set.url) as mongo,
    ):
        before = [customer.funds for customer in work.customers]
        fault(replica_set, work)
        during = [customer.funds for customer in work.customers]
        assert all(new > old for old, new in zip(before, during, strict=True))
        replica_set.primary()
        begun = time.monotonic()
        newest = work.store.head()
        wait_until(lambda: _have_reached(mongo, newest))
        resumed = time.monotonic() - begun
        work.stop_writing()
        wait_until(lambda: views_caught_up(work.store, mongo["eventlab"]))
        work.end()
        assert_nothing_lost_or_doubled(work)
        assert not any(code for customer in work.customers for code in customer.codes if code > 201)
        assert_views_are_exact(work.store, mongo["eventlab"])
    assert_each_outage_is_logged_once(work.projector.lines)
    print(f"\nresumed after {resumed:.1f} s: {work.projector.lines}")


def _have_reached(mongo: pymongo.MongoClient[dict[str, Any]], position: str) -> bool:
    try:
        states = list(mongo["eventlab"].projections.find())
    except PyMongoError:
        return False
    return bool(states) and all(order(one["position"]) >= order(position) for one in states)
