"""File locks, which the operating system releases when their holder dies, even by SIGKILL."""

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
    """A held lock on an open file; a child that inherits the file also holds the lock."""

    fd: int

    def release(self) -> None:
        """Release the lock in every process that shares it."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)

    def hand_over(self) -> None:
        """Close the file without releasing the lock, which children that share the file keep."""
        os.close(self.fd)

    def note(self, text: str) -> None:
        """Write information about the holder to the locked file."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode(), 0)


def attempt(path: Path) -> Lock | None:
    """Take the lock of a file and return it, or return None if another process holds the lock.

    Raises OSError if the file cannot be opened.
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
    """Wait up to ``timeout`` seconds for the lock of a file, and take it.

    Raises TimeoutError if the lock is not released in time.
    """
    end = time.monotonic() + timeout
    while (lock := attempt(path)) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"{path} stayed locked for {timeout:.0f} s")
        time.sleep(POLL_SECONDS)
    return lock


def is_held(path: Path) -> bool:
    """Return whether a running process holds the lock of a file."""
    # The lock is shared, so that two processes that check at the same time do not mistake each
    # other for the holder.
    lock = _attempt(path, fcntl.LOCK_SH)
    if lock is None:
        return True
    lock.release()
    return False


@contextlib.contextmanager
def held(path: Path, *, timeout: float) -> Iterator[Lock]:
    """Hold the lock of a file during the ``with`` block.

    Waits up to ``timeout`` seconds. Raises TimeoutError if the lock is not released in time.
    """
    lock = acquire(path, timeout=timeout)
    try:
        yield lock
    finally:
        lock.release()
