"""Waits for the next entry in one or more streams, such as the streams of all slices."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.store.keys import checked_position
from eventlab.store.scripts import RAW

POLL_SECONDS: Final = 0.05  # between polls of streams in several slots of a cluster


def wait_for_any(redis: Any, after: Mapping[bytes, str], seconds: float) -> bool:
    """Wait until a stream has an entry after its position; return False after ``seconds``.

    ``after`` maps each stream to its position.
    """
    positions = [checked_position(position) for position in after.values()]
    end = time.monotonic() + seconds
    if len(after) > 1 and hasattr(redis, "get_node_from_key"):
        # One XREAD cannot read streams in several slots, even if one node has them all.
        while not (found := _any_has(redis, after)) and (left := end - time.monotonic()) > 0:
            time.sleep(min(POLL_SECONDS, left))
        return found
    longest = longest_block(redis)
    while True:
        ms = max(1, int(min(longest, end - time.monotonic()) * 1000))  # 0 would block forever
        command = "XREAD", "COUNT", 1, "BLOCK", ms, "STREAMS", *after, *positions
        try:
            if redis.execute_command(*command, **RAW):
                return True
        except ResponseError as error:
            # A master that becomes a replica ends blocked reads with this error: read again.
            if not str(error).startswith("UNBLOCKED"):
                raise
        if time.monotonic() >= end:
            return False


def _any_has(redis: Any, after: Mapping[bytes, str]) -> bool:
    with redis.pipeline(transaction=False) as pipeline:
        for stream, position in after.items():
            pipeline.execute_command("XREAD", "COUNT", 1, "STREAMS", stream, position, **RAW)
        return any(pipeline.execute())


def longest_block(redis: Any) -> float:
    """Return how many seconds a command may block, given the client's ``socket_timeout``.

    If a command blocks for as long as the client waits for a reply, the client times out.
    """
    timeout = redis.get_connection_kwargs().get("socket_timeout")
    return (timeout or math.inf) / 2
