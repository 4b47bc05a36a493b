"""Locks on files: the operating system releases them when their holder dies, even by SIGKILL."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Lock:
    """A lock that is held, on an open file; a child that inherits the file holds it too."""

    fd: int

    def release(self) -> None:
        """Release the lock in every process that shares it."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)

    def hand_over(self) -> None:
        """Leave the lock to the children that inherited it."""
        os.close(self.fd)

    def note(self, text: str) -> None:
        """Write something about the holder into the locked file."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode(), 0)


def attempt(path: Path) -> Lock | None:
    """Take the lock of a file if nobody holds it; return None otherwise.

    Raises OSError when the file cannot be opened.
    """
    return _attempt(path, fcntl.LOCK_EX)


def _attempt(path: Path, kind: int) -> Lock | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return Lock(fd)


def acquire(path: Path, *, timeout: float) -> Lock:
    """Wait for the lock of a file, up to ``timeout`` seconds, and take it.

    Raises TimeoutError when the lock is not released in time.
    """
    end = time.monotonic() + timeout
    while (lock := attempt(path)) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"{path} stayed locked for {timeout:.0f} s")
        time.sleep(POLL_SECONDS)
    return lock


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock of a file."""
    # Shared: two processes that look at the same time must not take each other for the holder.
    lock = _attempt(path, fcntl.LOCK_SH)
    if lock is None:
        return True
    lock.release()
    return False


@contextlib.contextmanager
def held(path: Path, *, timeout: float) -> Iterator[Lock]:
    """Hold the lock of a file for the duration of a block.

    Waits up to ``timeout`` seconds. Raises TimeoutError when the lock is not released in time.
    """
    lock = acquire(path, timeout=timeout)
    try:
        yield lock
    finally:
        lock.release()
