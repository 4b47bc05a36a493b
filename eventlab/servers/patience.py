"""How long a client waits for a server that is down or hangs."""

from __future__ import annotations

from typing import Any, Final

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

#: A call is repeated after a lost connection, because Redis may just have restarted.
REDIS_RETRIES: Final = 2
FIRST_PAUSE_SECONDS: Final = 0.05


def limit_redis(client: redis.Redis, seconds: float) -> None:
    """Make a call fail within ``seconds`` of silence; a lost connection is reopened immediately.

    By default redis-py waits 5 seconds for a reply, and tries 11 times.
    """
    retry = Retry(
        ExponentialBackoff(cap=seconds / 8, base=FIRST_PAUSE_SECONDS),
        REDIS_RETRIES,
        supported_errors=(redis.ConnectionError,),  # a timeout is not one of them
    )
    client.set_retry(retry)
    limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    nodes = client.get_nodes() if hasattr(client, "get_nodes") else []
    clients: list[Any] = [node.redis_connection for node in nodes] or [client]
    for one in clients:
        if one is not None:
            one.connection_pool.connection_kwargs.update(limits)
            # The connections that were made before would keep their old limits, even reconnected.
            one.connection_pool.disconnect()
            one.connection_pool.reset()
    if nodes:
        client.nodes_manager.connection_kwargs.update(limits)  # type: ignore[attr-defined]


def mongodb_options(seconds: float) -> dict[str, int | bool]:
    """Return the options of a MongoDB client whose reads fail within ``seconds`` of silence.

    ``pymongo.timeout`` would need less code. But after a stall, it fails immediately for a minute,
    because it subtracts the round trip of the stall from the time of each call.
    """
    milliseconds = round(seconds * 1000)
    return {
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
        "socketTimeoutMS": milliseconds,
        "retryReads": False,  # it would double the time
    }
