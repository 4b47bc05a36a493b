"""Count this thread's traffic with Redis, a cost that does not depend on machine load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis.connection import AbstractConnection


@dataclass
class Traffic:
    """The number of round trips, and the number of list elements in the replies."""

    round_trips: int = 0
    elements: int = 0


@contextmanager
def traffic() -> Iterator[Traffic]:
    """Count the traffic with Redis that this thread causes in the ``with`` block.

    A pipeline counts as one round trip. An ``LRANGE`` that returns 200 events counts as 200
    elements.

    >>> with traffic() as counted:
    ...     lab.redis.ping()
    >>> counted.round_trips
    1
    """
    counted = Traffic()
    this_thread = threading.get_ident()
    send: Any = AbstractConnection.send_packed_command
    read: Any = AbstractConnection.read_response

    def counting_send(self: AbstractConnection, *args: Any, **options: object) -> Any:
        if threading.get_ident() == this_thread:
            counted.round_trips += 1
        return send(self, *args, **options)

    def counting_read(self: AbstractConnection, *args: Any, **options: object) -> Any:
        reply = read(self, *args, **options)
        if threading.get_ident() == this_thread and isinstance(reply, list):
            counted.elements += len(reply)
        return reply

    AbstractConnection.send_packed_command = counting_send  # type: ignore[method-assign]
    AbstractConnection.read_response = counting_read  # type: ignore[method-assign]
    try:
        yield counted
    finally:
        AbstractConnection.send_packed_command = send  # type: ignore[method-assign]
        AbstractConnection.read_response = read  # type: ignore[method-assign]
