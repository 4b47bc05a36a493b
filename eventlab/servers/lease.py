"""The lease: while a process holds one, the servers of a data directory stay up.

It is a shared record lock. Unlike a pipe or an flock, a record lock belongs to one process and is not inherited, so a
child that outlives its parent keeps nothing alive by accident; the system drops it at any death, SIGKILL included.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

LEASE = "lease"

Key = tuple[
    int, Path
]  # a forked child has another process id, so it finds no lease of its own and takes one
_mutex = threading.Lock()
_held: dict[Key, tuple[int, int]] = {}  # the open file, and how many Labs share it


def take(data: Path) -> None:
    """Hold the lease for this process; each ``take`` needs its ``give_back``.

    Example: ``take(data_directory())``
    """
    key = (os.getpid(), data)
    with _mutex:
        fd, count = _held.get(key, (-1, 0))
        if not count:
            fd = _open(data)
            fcntl.lockf(fd, fcntl.LOCK_SH)
        _held[key] = (fd, count + 1)


def give_back(data: Path) -> None:
    """Give back one ``take``; the last one of the process ends its lease.

    Example: ``give_back(data_directory())``
    """
    key = (os.getpid(), data)
    with _mutex:
        fd, count = _held.pop(key, (-1, 0))
        if count > 1:
            _held[key] = (fd, count - 1)
        elif count == 1:
            # Closing any file on the lease drops the whole process's lock: there must never be a second one open.
            os.close(fd)


class Watch:
    """How the supervisor sees whether anybody holds the lease."""

    def __init__(self, data: Path) -> None:
        self._fd = _open(data)

    def is_deleted(self) -> bool:
        """Say whether the data directory was deleted."""
        return os.fstat(self._fd).st_nlink == 0

    def is_wanted(self) -> bool:
        """Say whether some process holds the lease."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (
            BlockingIOError,
            PermissionError,
        ):  # which of the two is left to the system by POSIX
            return True
        fcntl.lockf(self._fd, fcntl.LOCK_UN)
        return False


def _open(data: Path) -> int:
    return os.open(data / LEASE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
