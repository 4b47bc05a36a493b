"""Run a function in a process that is killed with SIGKILL just before or after its n-th command."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pymongo.monitoring
import redis

from tests.support.processes import forked
from tests.support.waiting import PATIENCE_SECONDS


class Countdown(pymongo.monitoring.CommandListener):
    """Count the commands sent to Redis and MongoDB down to zero, then kill this process."""

    def __init__(self, left: int) -> None:
        self.left = left

    def step(self) -> None:
        """Count one moment: before a command, or after it."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def started(self, event: Any) -> None:
        """Count the moment before a MongoDB command."""
        self.step()

    def succeeded(self, event: Any) -> None:
        """Count the moment after it."""
        self.step()

    def failed(self, event: Any) -> None:
        """Count the moment after it, which failed."""
        self.step()


def _run(left: int, target: Callable[..., None], args: tuple[Any, ...]) -> None:
    countdown = Countdown(left)
    pymongo.monitoring.register(countdown)
    plain = redis.Redis.execute_command

    def counted(self: Any, *command: Any, **options: Any) -> Any:
        countdown.step()
        answer = plain(self, *command, **options)
        countdown.step()
        return answer

    redis.Redis.execute_command = counted  # type: ignore[method-assign]
    target(*args)


def killed_at(step: int, target: Callable[..., None], *args: Any) -> bool:
    """Run ``target(*args)``; return True if it was killed at that step, False if it ended before.

    Fails if the target raised an error.
    """
    process = forked(_run, step, target, args)
    process.start()
    process.join(PATIENCE_SECONDS)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"still running after {PATIENCE_SECONDS:g} s")
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0
