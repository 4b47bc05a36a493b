"""Locks on files: the system lets go of them when their holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.02


@dataclass(frozen=True)
class Lock:
    """A lock that is held, on an open file: a child that inherits the file holds the lock as well."""

    fd: int

    def release(self) -> None:
        """Let go of the lock, in every process that shares it."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)

    def hand_over(self) -> None:
        """Leave the lock to the children that inherited it."""
        os.close(self.fd)

    def note(self, text: str) -> None:
        """Write down something about the holder, in the locked file itself."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode(), 0)


def attempt(path: Path) -> Lock | None:
    """Take the lock of a file if nobody holds it.

    Raises OSError when the file cannot be opened.

    Example: ``attempt(data / "supervisor.lock")``
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return Lock(fd)


def acquire(path: Path, *, timeout: float) -> Lock:
    """Take the lock of a file, waiting for it.

    Raises TimeoutError when it does not come free in time.

    Example: ``acquire(data / "start.lock", timeout=60)``
    """
    end = time.monotonic() + timeout
    while (lock := attempt(path)) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"{path} stayed locked for {timeout:.0f} s")
        time.sleep(PAUSE)
    return lock


def is_held(path: Path) -> bool:
    """Say whether a living process holds the lock of a file.

    Example: ``is_held(data / "supervisor.lock")``
    """
    lock = attempt(path)
    if lock is None:
        return True
    lock.release()
    return False


@contextlib.contextmanager
def held(path: Path, *, timeout: float) -> Iterator[Lock]:
    """Hold the lock of a file for the length of a block.

    Raises TimeoutError when it does not come free in time.

    Example: ``with held(data / "start.lock", timeout=60): ...``
    """
    lock = acquire(path, timeout=timeout)
    try:
        yield lock
    finally:
        lock.release()
