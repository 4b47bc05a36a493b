"""Limit how long a client waits for a server that is down or hangs."""

from __future__ import annotations

from typing import Any, Final

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

#: A call is retried after a lost connection, because Redis may have just restarted.
REDIS_RETRIES: Final = 2
FIRST_PAUSE_SECONDS: Final = 0.05


def limit_redis(client: redis.Redis, seconds: float) -> None:
    """Make calls fail after ``seconds`` without a reply; reopen a lost connection immediately.

    By default, redis-py waits 5 seconds for a reply and makes 11 attempts.
    """
    retry = Retry(
        ExponentialBackoff(cap=seconds / 8, base=FIRST_PAUSE_SECONDS),
        REDIS_RETRIES,
        supported_errors=(redis.ConnectionError,),  # so a timeout is not retried
    )
    client.set_retry(retry)
    limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    nodes = client.get_nodes() if hasattr(client, "get_nodes") else []
    clients: list[Any] = [node.redis_connection for node in nodes] or [client]
    for one in clients:
        if one is not None:
            one.connection_pool.connection_kwargs.update(limits)
            # Existing connections would keep their old limits, even after a reconnect.
            one.connection_pool.disconnect()
            one.connection_pool.reset()
    if nodes:
        client.nodes_manager.connection_kwargs.update(limits)  # type: ignore[attr-defined]


def mongodb_options(seconds: float) -> dict[str, int | bool]:
    """Return options that make a MongoDB client's reads fail after ``seconds`` without a reply.

    ``pymongo.timeout`` would need less code. However, it subtracts the measured round-trip time
    from each call's time limit, and a stall inflates that time. Every call would therefore fail
    immediately for a minute after a stall.
    """
    milliseconds = round(seconds * 1000)
    return {
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
        "socketTimeoutMS": milliseconds,
        "retryReads": False,  # a retry would double the time
    }
