"""Start processes that end when a notebook's kernel ends, even if the kernel is killed.

Each kernel has one guard, a process that reads the ids of the processes to kill from a pipe. When
the kernel ends, the pipe closes, and the guard kills the remaining processes, even stopped ones.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence


class GuardedProcess(subprocess.Popen[bytes]):
    """A process that the guard kills when the kernel ends.

    Once the exit status of the process is known, the guard forgets the process, because the system
    may give its id to another process.
    """

    _registered_by: int | None = None  # the id of the process whose guard has this process

    def register(self) -> None:
        """Tell the guard to kill the process when the kernel ends."""
        _tell(f"+{self.pid}")
        self._registered_by = os.getpid()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended, and tell the guard to forget it."""
        status = super().wait(timeout)
        self._unregister()
        return status

    def poll(self) -> int | None:
        """Return the exit status, and tell the guard to forget the process; None while it runs."""
        status = super().poll()
        if status is not None:
            self._unregister()
        return status

    def _unregister(self) -> None:
        # Only once, because another process with this id may have been registered since.
        if self._registered_by == os.getpid():
            self._registered_by = None
            with contextlib.suppress(ValueError, OSError):  # the guard has already ended
                _tell(f"-{self.pid}")


def guarded(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> GuardedProcess:
    """Start a process that survives an interrupt of the kernel, but ends with the kernel."""
    nothing = subprocess.DEVNULL
    process = GuardedProcess(
        argv, env=env, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    process.register()
    return process


def _tell(line: str) -> None:
    pipe = _guard(os.getpid()).stdin
    assert pipe is not None
    pipe.write(f"{line}\n".encode())
    pipe.flush()


@functools.cache
def _guard(_owner: int) -> subprocess.Popen[bytes]:
    """Return the guard of this process, started on the first call; a forked child gets its own."""
    command = [sys.executable, "-m", "eventlab.lessons.guard"]
    guard = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    atexit.register(guard.communicate)  # closes the pipe and waits for the guard to exit
    return guard


def main() -> None:
    """Read process ids until the pipe closes, and then kill the processes that remain."""
    running: set[int] = set()
    for line in sys.stdin:
        change = running.add if line.startswith("+") else running.discard
        change(int(line[1:]))
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # also ends a stopped process


if __name__ == "__main__":
    main()
