"""What an error of Redis or MongoDB means: wait and retry, or fix the configuration.

Every part of the library that waits for a server uses this module, so that all of them agree. What
is neither an outage nor a misconfiguration is a bug, or an event that MongoDB cannot store (see
``eventlab.projections``).
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

_REDIS_OUTAGES: Final = (
    redis.exceptions.ConnectionError,  # also raised while Redis loads its data
    redis.exceptions.TimeoutError,
    redis.exceptions.ClusterError,  # a slot that moves, a cluster that is down
    redis.exceptions.RedisClusterException,
    redis.exceptions.ReadOnlyError,  # a master that has become a replica
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.TryAgainError,
    redis.exceptions.MovedError,
    redis.exceptions.AskError,
)

# These have no class of their own in redis-py.
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
        8000,  # AtlasError: the plan does not offer it
    }
)


MAX_REASON: Final = 300  # characters: some errors quote a whole document


def is_outage(error: BaseException) -> bool:
    """Return whether a server is down, failing over, read-only, full or busy: wait, then retry.

    >>> is_outage(redis.exceptions.ResponseError("UNBLOCKED force unblock from blocking operation"))
    True
    >>> is_outage(redis.exceptions.AuthenticationError("invalid password"))
    False
    """
    if isinstance(error, _REDIS_MISCONFIGURED):
        return False
    if isinstance(error, _REDIS_OUTAGES):
        return True
    if isinstance(error, redis.exceptions.ResponseError):
        return _text(error).split(" ", 1)[0] in _REDIS_OUTAGE_CODES
    if isinstance(error, pymongo.errors.ConnectionFailure):
        return True
    if isinstance(error, pymongo.errors.PyMongoError):
        return error.timeout or not _MONGODB_OUTAGE_CODES.isdisjoint(mongodb_codes(error))
    return False


def misconfiguration(error: BaseException) -> Misconfigured | None:
    """Return what an operator has to change if our credentials are wrong or lack a permission.

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
    """Return MongoDB's error codes: a bulk write has one for each operation that failed.

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
    """Return a server's error in one line, without the driver's dump of its state.

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
    # A pipeline puts the command and its arguments in front of the message.
    return str(error).rpartition(" of pipeline caused error: ")[2]


def server(error: BaseException) -> str:
    """Return the name of the server that a driver's error comes from.

    >>> server(redis.exceptions.TimeoutError())
    'Redis'
    """
    return "MongoDB" if isinstance(error, pymongo.errors.PyMongoError) else "Redis"
