"""Connect to the servers named by ``EVENTLAB_REDIS_URL`` and ``EVENTLAB_MONGODB_URL``."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import pymongo
import redis
from pymongo.errors import PyMongoError
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.sentinel import Sentinel

from eventlab import settings
from eventlab.servers import binaries, redis_url
from eventlab.servers.errors import ServerUnreachable
from eventlab.servers.redis_url import InvalidURL, RedisURL
from eventlab.servers.replica_set import Client

REDIS_URL = settings.REDIS_URL
MONGODB_URL = settings.MONGODB_URL
SELECTION_TIMEOUT_MS = 5000
#: The default timeout of redis-py 8; the URL can override it. Older versions have no default.
SOCKET_TIMEOUT_SECONDS: Final = 5.0
CLIENT_OPTIONS: Final[dict[str, Any]] = {
    "decode_responses": True,
    "socket_timeout": SOCKET_TIMEOUT_SECONDS,
    "socket_connect_timeout": SOCKET_TIMEOUT_SECONDS,
}
KEEPS_ALL: Final = "noeviction"

Info = dict[str, Any]
logger = logging.getLogger(__name__)


def redis_at(url: str) -> redis.Redis:
    """Connect to the Redis at a URL: one server, a cluster, or the master that Sentinels name.

    Raises ServerUnreachable if the Redis does not respond, is older than 7.0, or may delete stored
    data.
    """
    try:
        parsed = redis_url.parse(url)
    except InvalidURL as error:
        raise ServerUnreachable(REDIS_URL, f"cannot be used: {error}") from None
    client = _master(parsed) if parsed.service else _node_or_cluster(parsed)
    try:
        for info in _infos(client):
            _refuse(info)
            _warn(info)
    except BaseException:
        client.close()
        raise
    return client


def mongodb_at(url: str, *, examine: bool = True, **limits: int | bool) -> Client:
    """Connect to the MongoDB at a URL: a replica set or a sharded cluster.

    ``limits`` are client options that override those in the URL. If ``examine`` is false, the
    server need not respond yet. Raises ServerUnreachable if the server does not respond, or is a
    standalone server, which does not support transactions.
    """
    options: dict[str, Any] = (
        {}
        if "serverselectiontimeoutms" in url.lower()
        else {"serverSelectionTimeoutMS": SELECTION_TIMEOUT_MS}
    )
    options |= limits
    try:
        redis_url.require_escaped(url)
    except InvalidURL as error:
        raise ServerUnreachable(MONGODB_URL, f"cannot be used: {error}") from None
    client: Client = _attempt(MONGODB_URL, lambda: pymongo.MongoClient(url, **options))
    if not examine:
        return client
    try:
        hello = _attempt(MONGODB_URL, lambda: client.admin.command("hello"))
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise ServerUnreachable(
                MONGODB_URL,
                "is not a replica set, so it does not support transactions",
                "run rs.initiate() once",
            )
    except ServerUnreachable:
        client.close()
        raise
    return client


def _node_or_cluster(parsed: RedisURL) -> redis.Redis:
    refused: list[ServerUnreachable] = []
    for url in parsed.plain:
        node = _attempt(REDIS_URL, partial(redis.Redis.from_url, url, **CLIENT_OPTIONS))
        try:
            info = _attempt(REDIS_URL, partial(_about, node))
        except ServerUnreachable as error:
            node.close()
            refused.append(error)
            continue
        if not info["cluster_enabled"]:
            if len(parsed.plain) == 1:
                return cast("redis.Redis", node)
            node.close()
            raise ServerUnreachable(
                REDIS_URL, "is not a cluster", "name one server, or Sentinels (redis+sentinel://)"
            )
        node.close()
        return _cluster(url, parsed)
    raise refused[0]


def _cluster(url: str, parsed: RedisURL) -> redis.Redis:
    nodes = [_untyped(ClusterNode)(*host) for host in parsed.hosts]
    cluster = _attempt(
        REDIS_URL, lambda: RedisCluster.from_url(url, startup_nodes=nodes, **CLIENT_OPTIONS)
    )
    return cast("redis.Redis", cluster)  # a different class with the same commands


def _master(parsed: RedisURL) -> redis.Redis:
    def connect() -> redis.Redis:
        options: dict[str, Any] = CLIENT_OPTIONS | _untyped(parse_url)(parsed.plain[0])
        for name in ("host", "port"):
            options.pop(name, None)
        if options.pop("connection_class", None) is not None:
            options["ssl"] = True
        names = ("ssl", "socket_timeout", "socket_connect_timeout")
        shared = {
            name: value
            for name, value in options.items()
            if name in names or name.startswith("ssl_")
        }
        sentinel = _untyped(Sentinel)(
            parsed.hosts, sentinel_kwargs=shared | parsed.sentinel_options
        )
        return cast("redis.Redis", sentinel.master_for(str(parsed.service), **options))

    client: redis.Redis = _attempt(REDIS_URL, connect)
    try:
        _attempt(REDIS_URL, client.ping)
    except ServerUnreachable:
        client.close()
        raise
    return client


def _infos(client: redis.Redis) -> list[Info]:
    """Return the output of INFO from a server or, in a cluster, from each primary."""
    if not isinstance(client, RedisCluster):
        return [_attempt(REDIS_URL, lambda: _about(client))]
    nodes = [node.redis_connection for node in client.get_primaries()]
    return [_attempt(REDIS_URL, partial(_about, node)) for node in nodes if node]


def _about(node: Any) -> Info:
    try:
        return cast("Info", node.info())
    except redis.exceptions.NoPermissionError:  # INFO is @dangerous; HELLO is not
        hello: Any = node.execute_command("HELLO")
        said = hello if isinstance(hello, dict) else dict(zip(*[iter(hello)] * 2, strict=True))
        plain = {_text(key): _text(value) for key, value in said.items()}
        return {
            "redis_version": plain["version"],
            "cluster_enabled": plain["mode"] == "cluster",
            "role": plain["role"],
        }


def _untyped(call: Any) -> Any:
    return call  # redis-py does not provide types for this call


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _refuse(info: Info) -> None:
    """Raise ServerUnreachable if this Redis is too old or may delete stored data."""
    version = str(info["redis_version"])
    if binaries.numbers(version) < binaries.OLDEST_REDIS:
        raise ServerUnreachable(REDIS_URL, f"is Redis {version}, older than 7.0")
    policy = info.get("maxmemory_policy", KEEPS_ALL)
    if policy != KEEPS_ALL and info["maxmemory"] and not os.environ.get(settings.ALLOW_EVICTION):
        raise ServerUnreachable(
            REDIS_URL,
            f"has the maxmemory-policy {policy}, so it deletes "
            f"{'events' if policy.startswith('allkeys') else 'idempotency keys'} when its memory "
            "is full",
            f"run CONFIG SET maxmemory-policy {KEEPS_ALL}, or set {settings.ALLOW_EVICTION}=1",
        )


def _warn(info: Info) -> None:
    if info.get("role") == "slave":
        logger.warning("the Redis at %s is a replica: appends fail until it is promoted", REDIS_URL)
    if not info.get("aof_enabled", True):
        logger.warning(
            "the Redis at %s has no append-only file: a crash loses the latest events", REDIS_URL
        )


def _attempt(variable: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (
        redis.RedisError,
        redis.exceptions.RedisClusterException,  # not a RedisError
        PyMongoError,
        ValueError,
        OSError,
    ) as error:
        raise ServerUnreachable(variable, f"cannot be used: {_reason(error)}") from error
    except TypeError as error:  # redis-py passes each option of the URL to its classes
        option = str(error).rpartition("argument ")[2]
        raise ServerUnreachable(variable, f"cannot be used: unknown URL option {option}") from None


def _reason(error: Exception) -> str:
    """Return the cause of an error, without the driver's internal details."""
    first_line, *_ = str(error).splitlines() or [type(error).__name__]
    for dump in (", full error:", ", Timeout:", "(configured timeouts:"):
        first_line = first_line.split(dump, 1)[0].strip()
    if "HELLO must be called" in first_line or "Authentication required" in first_line:
        return "it requires a password: add one to the URL, as in redis://:PASSWORD@host"
    if "invalid username-password" in first_line or "invalid password" in first_line:
        return "the user name or the password is wrong"
    return first_line.rstrip(".")
