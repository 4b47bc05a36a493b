"""Each error of a server is an outage, a misconfiguration, or neither."""

from __future__ import annotations

import pymongo.errors
import pytest
import redis.exceptions as redis_errors
from redis._parsers.base import BaseParser

from eventlab import Misconfigured
from eventlab.store.answers import is_outage, misconfiguration, reason

REDIS_OUTAGES = [
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "READONLY You can't write against a read only replica. script: 0a1b, on @user_script:1.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist",
    "NOREPLICAS Not enough good replicas to write.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "MOVED 3999 127.0.0.1:6381",
    "ERR max number of clients reached",
]
REDIS_MISCONFIGURED = [
    "NOPERM User app has no permissions to run the 'xadd' command",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "ERR The user executing the script can't run this command or subcommand script: 0a1b",
    "ERR ACL failure in script: User app has no permissions to run the 'rpush' command",
    "ERR unknown command 'XAUTOCLAIM', with args beginning with: ",
    "CROSSSLOT Keys in request don't hash to the same slot",
]
MONGODB_OUTAGES = [6, 7, 50, 64, 89, 91, 133, 134, 189, 262, 365, 9001]
MONGODB_OUTAGES += [10107, 11600, 11602, 13435, 13436, 14031]


def redis_error(answer: str) -> Exception:
    error = BaseParser.parse_error(answer)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("answer", REDIS_OUTAGES, ids=lambda answer: answer.split()[0])
def test_temporary_redis_error_is_an_outage(answer: str) -> None:
    assert is_outage(redis_error(answer))
    assert misconfiguration(redis_error(answer)) is None


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.ConnectionError("Connection refused"),
        redis_errors.TimeoutError("Timeout reading from socket"),
        redis_errors.ClusterError("TTL exhausted."),
        redis_errors.RedisClusterException("Redis Cluster cannot be connected."),
        redis_errors.SlotNotCoveredError("Slot 1 is not covered"),
        redis_errors.MaxConnectionsError("Too many connections"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_redis_that_cannot_be_reached_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize("answer", REDIS_MISCONFIGURED, ids=lambda answer: answer[:30])
def test_redis_that_denies_a_permission_is_a_misconfiguration(answer: str) -> None:
    error = redis_error(answer)
    assert not is_outage(error)
    named = misconfiguration(error)
    assert isinstance(named, Misconfigured)
    assert named.server == "Redis"


@pytest.mark.parametrize("code", MONGODB_OUTAGES)
def test_temporary_mongodb_error_is_an_outage_alone_or_in_a_bulk(code: int) -> None:
    details = {"writeErrors": [{"code": code, "errmsg": "no"}]}
    for error in (
        pymongo.errors.OperationFailure("no", code),
        pymongo.errors.BulkWriteError(details),
        pymongo.errors.BulkWriteError({"writeConcernErrors": [{"code": code}]}),
    ):
        assert is_outage(error)
        assert misconfiguration(error) is None


@pytest.mark.parametrize(
    "kind",
    [
        pymongo.errors.AutoReconnect,
        pymongo.errors.ExecutionTimeout,
        pymongo.errors.NetworkTimeout,
        pymongo.errors.NotPrimaryError,
        pymongo.errors.ServerSelectionTimeoutError,
        pymongo.errors.WaitQueueTimeoutError,
    ],
)
def test_mongodb_that_cannot_be_reached_is_an_outage(
    kind: type[pymongo.errors.PyMongoError],
) -> None:
    assert is_outage(kind("away"))


@pytest.mark.parametrize("code", [13, 18, 8000])
def test_mongodb_that_denies_a_permission_is_a_misconfiguration(code: int) -> None:
    error = pymongo.errors.OperationFailure("not authorized", code)
    assert not is_outage(error)
    named = misconfiguration(error)
    assert named is not None
    assert named.server == "MongoDB"


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.ResponseError("WRONGTYPE Operation against a key holding the wrong kind"),
        pymongo.errors.OperationFailure("Document failed validation", 121),
        pymongo.errors.DuplicateKeyError("E11000 duplicate key", 11000),
        ValueError("not of a server"),
    ],
    ids=repr,
)
def test_other_error_is_neither_an_outage_nor_a_misconfiguration(error: Exception) -> None:
    assert not is_outage(error)
    assert misconfiguration(error) is None


def test_reason_is_one_line_without_the_dump_of_the_driver() -> None:
    long = pymongo.errors.ServerSelectionTimeoutError(
        "127.0.0.1:9: refused, Timeout: 2s, Topology Description: <TopologyDescription id: 1>"
    )
    assert reason(long) == "127.0.0.1:9: refused"
    assert reason(redis_errors.TimeoutError()) == "TimeoutError"
