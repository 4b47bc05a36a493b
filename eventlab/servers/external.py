"""The user's own servers, named by ``EVENTLAB_REDIS_URL`` and ``EVENTLAB_MONGODB_URL``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pymongo
import redis
from pymongo.errors import PyMongoError
from redis.cluster import RedisCluster

from eventlab import settings
from eventlab.servers import binaries
from eventlab.servers.errors import ServerUnreachable
from eventlab.servers.replica_set import Client

REDIS_URL = settings.REDIS_URL
MONGODB_URL = settings.MONGODB_URL
SELECTION_TIMEOUT_MS = 5000


def redis_at(url: str) -> redis.Redis:
    """Connect to the Redis of a URL; if it is a node of a cluster, to the cluster.

    Raises ServerUnreachable when it does not answer or is older than 7.0.
    """
    try:
        node = redis.Redis.from_url(url, decode_responses=True)
    except ValueError:  # its text may contain a part of the password
        raise ServerUnreachable(
            REDIS_URL, "cannot be used: this is not a URL; percent-encode the password"
        ) from None
    try:
        info = _attempt(REDIS_URL, lambda: node.info("server") | node.info("cluster"))
        version = str(info["redis_version"])
        if binaries.numbers(version) < binaries.OLDEST_REDIS:  # it would store half a batch
            raise ServerUnreachable(REDIS_URL, f"is Redis {version}, older than 7.0")
    except ServerUnreachable:
        node.close()
        raise
    if not info["cluster_enabled"]:
        return node
    node.close()
    cluster = _attempt(REDIS_URL, lambda: RedisCluster.from_url(url, decode_responses=True))
    return cast("redis.Redis", cluster)  # a different class with the same commands


def mongodb_at(url: str, **limits: int | bool) -> Client:
    """Connect to the MongoDB of a URL: a replica set or a sharded cluster.

    ``limits`` are options of the client that count more than those of the URL.

    Raises ServerUnreachable when it does not answer, or is a standalone server, which has no
    transactions.
    """
    options: dict[str, Any] = (
        {}
        if "serverselectiontimeoutms" in url.lower()
        else {"serverSelectionTimeoutMS": SELECTION_TIMEOUT_MS}
    )
    options |= limits
    client: Client = _attempt(MONGODB_URL, lambda: pymongo.MongoClient(url, **options))
    try:
        hello = _attempt(MONGODB_URL, lambda: client.admin.command("hello"))
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise ServerUnreachable(
                MONGODB_URL,
                "is not a replica set, so it has no transactions: see rs.initiate()",
            )
    except ServerUnreachable:
        client.close()
        raise
    return client


def _attempt(variable: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (redis.RedisError, PyMongoError, ValueError, OSError) as error:
        raise ServerUnreachable(variable, f"cannot be used: {error}") from error
