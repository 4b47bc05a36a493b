"""Classifies the errors of Redis and MongoDB as outages, misconfigurations or other errors.

Every part of the library that waits for a server uses this module, so that all parts agree. An
error that is neither an outage nor a misconfiguration is caused by a bug, or by an event that
MongoDB cannot store (see ``eventlab.projections``).
"""

from __future__ import annotations

from typing import Final

import pymongo.errors
import redis.exceptions

from eventlab.errors import Misconfigured

#: Every error that the two drivers raise. ``RedisClusterException`` is not a ``RedisError``.
SERVER_ERRORS: Final = (
    redis.exceptions.RedisError,
    redis.exceptions.RedisClusterException,
    pymongo.errors.PyMongoError,
)

_OUTAGES: Final = (
    redis.exceptions.ConnectionError,  # also raised while Redis loads its data
    redis.exceptions.TimeoutError,
    redis.exceptions.ClusterError,  # a slot that moves, a cluster that is down
    redis.exceptions.RedisClusterException,
    redis.exceptions.ReadOnlyError,  # a master that has become a replica
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.TryAgainError,
    redis.exceptions.MovedError,
    redis.exceptions.AskError,
    pymongo.errors.ConnectionFailure,
)

# These errors have no class of their own in redis-py.
_REDIS_OUTAGE_CODES: Final = frozenset(
    {
        "BUSY",  # a script of another client has run for too long
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",  # the disk is full or failing
        "NOREPLICAS",
        "READONLY",
        "TRYAGAIN",
        "UNBLOCKED",  # a blocked reader, because its master has become a replica
    }
)

# AuthenticationError is a ConnectionError, but waiting does not correct a password.
_REDIS_MISCONFIGURED: Final = (
    redis.exceptions.AuthenticationError,
    redis.exceptions.AuthorizationError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.ClusterCrossSlotError,
)
_REDIS_MISCONFIGURED_WORDS: Final = (
    "ACL failure",  # a script may not run one of its commands
    "can't run this command",
    "can't access at least one of the keys",
    "unknown command",
)

# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_MONGODB_OUTAGE_CODES: Final = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        50,  # MaxTimeMSExpired
        64,  # WriteConcernTimeout
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        133,  # FailedToSatisfyReadPreference
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        262,  # ExceededTimeLimit
        365,  # TemporarilyUnavailable
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
        14031,  # OutOfDiskSpace
    }
)
_MONGODB_MISCONFIGURED_CODES: Final = frozenset(
    {
        13,  # Unauthorized
        18,  # AuthenticationFailed
        8000,  # AtlasError, such as a command that the plan does not include
    }
)


MAX_REASON: Final = 300  # characters: some errors quote a whole document


def is_outage(error: BaseException) -> bool:
    """Return whether an error means that a server is down, failing over, read-only, full or busy.

    After such an error, wait and retry.

    >>> is_outage(redis.exceptions.ResponseError("UNBLOCKED force unblock from blocking operation"))
    True
    >>> is_outage(redis.exceptions.AuthenticationError("invalid password"))
    False
    """
    if isinstance(error, _REDIS_MISCONFIGURED):
        return False
    if isinstance(error, _OUTAGES):
        return True
    if isinstance(error, redis.exceptions.ResponseError):
        return _text(error).split(" ", 1)[0] in _REDIS_OUTAGE_CODES
    if isinstance(error, pymongo.errors.PyMongoError):
        return error.timeout or not _MONGODB_OUTAGE_CODES.isdisjoint(mongodb_codes(error))
    return False


def misconfiguration(error: BaseException) -> Misconfigured | None:
    """Return Misconfigured if an error means that credentials, permissions or settings are wrong.

    Returns None for any other error.

    >>> misconfiguration(redis.exceptions.ConnectionError("Connection refused")) is None
    True
    """
    if isinstance(error, _REDIS_MISCONFIGURED) or (
        isinstance(error, redis.exceptions.ResponseError)
        and any(words in str(error) for words in _REDIS_MISCONFIGURED_WORDS)
    ):
        return Misconfigured("Redis", reason(error))
    if isinstance(error, pymongo.errors.ConfigurationError) or (
        isinstance(error, pymongo.errors.PyMongoError)
        and not _MONGODB_MISCONFIGURED_CODES.isdisjoint(mongodb_codes(error))
    ):
        return Misconfigured("MongoDB", reason(error))
    return None


def mongodb_codes(error: pymongo.errors.PyMongoError) -> set[int]:
    """Return the MongoDB codes of an error; a bulk write has a code for each failed operation.

    >>> mongodb_codes(pymongo.errors.OperationFailure("disk full", 14031))
    {14031}
    """
    if not isinstance(error, pymongo.errors.OperationFailure):
        return set()
    details = error.details or {}
    failed = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
    codes = (error.code, *(one.get("code") for one in failed))
    return {code for code in codes if isinstance(code, int)}


def reason(error: BaseException) -> str:
    """Return the message of a server's error on one line, without the driver's diagnostics.

    >>> reason(pymongo.errors.OperationFailure("not allowed, full error: {'ok': 0.0}", 13))
    'not allowed'
    """
    first_line, *_ = _text(error).splitlines() or [""]
    for dump in (", full error:", " script:", ", Timeout:", ", Topology Description:"):
        first_line = first_line.split(dump, 1)[0]
    return first_line[:MAX_REASON].strip().rstrip(".") or type(error).__name__


def _text(error: BaseException) -> str:
    if isinstance(error, pymongo.errors.BulkWriteError) and (
        failed := (error.details or {}).get("writeErrors")
    ):
        return str(failed[0].get("errmsg", ""))
    # A pipeline inserts the command and its arguments before the message.
    return str(error).rpartition(" of pipeline caused error: ")[2]


def server(error: BaseException) -> str:
    """Return the name of the server whose driver raised an error.

    >>> server(redis.exceptions.TimeoutError())
    'Redis'
    """
    return "MongoDB" if isinstance(error, pymongo.errors.PyMongoError) else "Redis"
