"""The lease: while a process holds it, the servers of a data directory keep running.

The lease is a shared record lock. Unlike a pipe or an flock, a record lock belongs to one process
and is not inherited, so a child that outlives its parent does not keep the servers running
by accident. The operating system releases the lock when the process dies, even by SIGKILL.
"""

from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import dataclass
from pathlib import Path

LEASE = "lease"

# The process id is part of the key, so that a forked child finds no lease and takes its own.
Key = tuple[int, Path]


@dataclass(frozen=True, eq=False)
class Holding:
    """The lease that this process holds, as an open file."""

    fd: int


_mutex = threading.Lock()
_held: dict[Key, tuple[Holding, int]] = {}  # with the number of Labs that share each lease


def take(data: Path) -> None:
    """Take the lease for this process, and hold it until ``give_back`` undoes every ``take``."""
    key = (os.getpid(), data)
    with _mutex:
        held = _held.get(key)
        _held[key] = (held[0], held[1] + 1) if held else (_taken(data), 1)


def give_back(data: Path) -> None:
    """Undo one ``take``; the lease is released when every ``take`` has been undone."""
    key = (os.getpid(), data)
    with _mutex:
        held = _held.pop(key, None)
        if held is None:
            return
        holding, count = held
        if count > 1:
            _held[key] = (holding, count - 1)
        else:
            # Closing any open file of the lease releases the lock of the whole process, so there
            # must never be a second open file.
            os.close(holding.fd)


def holding(data: Path) -> Holding | None:
    """Return the lease that this process holds, or None; each new lease is a new object."""
    # No mutex: a thread calls this often, and a fork during a call would leave the mutex locked in
    # the child.
    held = _held.get((os.getpid(), data))
    return held[0] if held else None


def _taken(data: Path) -> Holding:
    fd = _open(data)
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH)
    except OSError:
        os.close(fd)
        raise
    return Holding(fd)


class Watch:
    """Tells the supervisor whether any process holds the lease."""

    def __init__(self, data: Path) -> None:
        self._fd = _open(data)

    def is_deleted(self) -> bool:
        """Return whether the data directory has been deleted."""
        return os.fstat(self._fd).st_nlink == 0

    def is_wanted(self) -> bool:
        """Return whether a process holds the lease."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # POSIX allows either
            return True
        fcntl.lockf(self._fd, fcntl.LOCK_UN)
        return False


def _open(data: Path) -> int:
    return os.open(data / LEASE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
