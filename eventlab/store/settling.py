"""Waits until events would survive the loss of a machine, not only of a process.

Redis replies to an append before the events are on disk (with ``appendfsync everysec``), and before
a replica has them.
"""

from __future__ import annotations

import time
from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.errors import NotSettled
from eventlab.store.keys import Keys
from eventlab.store.scripts import RAW
from eventlab.store.stream import as_text
from eventlab.store.waiting import longest_block

MAX_WAIT_SECONDS: Final = 3.0  # for one WAITAOF or WAIT
REMEDY: Final = (
    "run CONFIG SET appendonly yes, and set appendfsync to everysec (Redis 7.2 or newer) or always"
)


def settle(redis: Any, keys: Keys, *, disk: int, replicas: int, timeout: float) -> None:
    """Wait until earlier writes are on ``disk`` disks and on ``replicas`` replicas.

    Raises NotSettled after ``timeout`` seconds, or if Redis cannot confirm where the writes are.
    """
    node = node_of(redis, keys.stream)
    end = time.monotonic() + timeout
    while True:
        longest = min(MAX_WAIT_SECONDS, longest_block(redis))
        ms = max(1, int(min(longest, end - time.monotonic()) * 1000))  # 0 would block forever
        disks, copies = _reached(node, keys.fsync_probe, disk, replicas, ms)
        if disks >= disk and copies >= replicas:
            return
        if time.monotonic() > end:
            raise NotSettled(
                f"after {timeout:g} s, only {disks} of {disk} disks and {copies} of {replicas} "
                "replicas have stored the events: check the Redis server's disk and its replicas"
            )


def _reached(node: Any, probe: bytes, disk: int, replicas: int, ms: int) -> tuple[int, int]:
    # WAITAOF and WAIT cover only the writes of their own connection, and the append may have used
    # another connection of the pool. The append-only file and the replication stream keep all
    # writes in order, so if this SET has arrived, every earlier append has arrived, too.
    pipeline = node.pipeline(transaction=False)
    pipeline.execute_command("SET", probe, 1)
    if disk:
        pipeline.execute_command("WAITAOF", 1, disk - 1, ms)
    if replicas:
        pipeline.execute_command("WAIT", replicas, ms)
    written, *replies = pipeline.execute(raise_on_error=False)
    if isinstance(written, Exception):
        raise written  # such as READONLY, which is clearer than a replica's reply to WAITAOF
    if disk and isinstance(replies[0], ResponseError):
        replies[0] = [_disks_without_waitaof(node, replies[0]), 0]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    local, copied = replies[0] if disk else (0, 0)
    # Until the master's disk has the write, no disk counts: a replica's disk cannot replace it.
    return (local + copied if local else 0), (replies[-1] if replicas else 0)


def _disks_without_waitaof(node: Any, error: ResponseError) -> int:
    if "appendonly is disabled" in str(error):
        raise NotSettled(f"Redis has no append-only file: {REMEDY}") from None
    if "unknown command" not in str(error):
        raise error
    # Before 7.2, the only proof is the setting that makes Redis fsync before each reply.
    try:
        config = node.execute_command("CONFIG GET", "append*", **RAW)
    except ResponseError:
        raise NotSettled(f"this Redis does not report whether it fsyncs: {REMEDY}") from None
    found = {str(as_text(key)): as_text(value) for key, value in config.items()}
    if (found.get("appendonly"), found.get("appendfsync")) != ("yes", "always"):
        raise NotSettled(f"this Redis does not report when it has fsynced: {REMEDY}")
    return 1


def node_of(redis: Any, key: bytes) -> Any:
    """Return a client for the server that has a key; in a cluster, the master of the key's slot."""
    if not hasattr(redis, "get_node_from_key"):
        return redis
    redis.exists(key)  # finds the new master after a failover or after the slot has moved
    return redis.get_redis_connection(redis.get_node_from_key(key))
