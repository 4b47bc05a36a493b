"""A MongoDB replica set fails over under load: every view resumes by itself and is exact."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError

from eventlab.lessons.mongodb_members import Member, ReplicaSet, replica_set_of_three
from eventlab.store.answers import is_outage
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
STEPPED_DOWN_SECONDS = 120  # longer than any election takes

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
    wait_for_deposits(work)


def step_down(replica_set: ReplicaSet, work: Workload) -> None:
    primary = wait_until(lambda: stepped_down(replica_set))
    replica_set.primary(other_than=primary)
    # An election may take less time than a deposit on a busy machine.
    wait_for_deposits(work)


def stepped_down(replica_set: ReplicaSet) -> Member | None:
    """Let the primary step down and return it, or return None if it did not."""
    primary = replica_set.primary()
    with pymongo.MongoClient[Any]("127.0.0.1", primary.port, directConnection=True) as patient:
        try:
            patient.admin.command("replSetStepDown", STEPPED_DOWN_SECONDS)
        except PyMongoError as error:
            if not is_outage(error):
                raise
            return None
    return primary


def wait_for_deposits(work: Workload) -> None:
    """Wait until a deposit of each customer has been answered."""
    before = [customer.funds for customer in work.customers]
    wait_until(
        lambda: all(new.funds > old for old, new in zip(before, work.customers, strict=True))
    )


def stop_the_primary(replica_set: ReplicaSet, work: Workload) -> None:
    primary = replica_set.primary()
    primary.stop()
    time.sleep(STOPPED_SECONDS)
    wait_for_deposits(work)
    primary.resume()


def take_the_majority_away(replica_set: ReplicaSet, work: Workload) -> None:
    primary = replica_set.primary()
    others = [member for member in replica_set.members if member is not primary]
    for member in others:
        member.kill()
    time.sleep(NO_MAJORITY_SECONDS)
    wait_for_deposits(work)
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
        fault(replica_set, work)
        replica_set.primary()
        begun = time.monotonic()
        newest = work.store.head()
        wait_until(lambda: _have_reached(mongo, newest))
        resumed = time.monotonic() - begun
        work.stop_writing()
        wait_until(lambda: views_caught_up(work.store, mongo["eventlab"]))
        work.end()
        assert_nothing_lost_or_doubled(work)
        # A stall of Redis is answered with 503, too.
        unavailable = [message for one in work.customers for message in one.unavailable]
        assert all(message.startswith("Redis is unavailable") for message in unavailable)
        assert_views_are_exact(work.store, mongo["eventlab"])
    assert_each_outage_is_logged_once(work.projector.lines)
    print(f"\nresumed after {resumed:.1f} s: {work.projector.lines}")


def _have_reached(mongo: pymongo.MongoClient[dict[str, Any]], position: str) -> bool:
    try:
        states = list(mongo["eventlab"].projections.find())
    except PyMongoError:
        return False
    return bool(states) and all(order(one["position"]) >= order(position) for one in states)
