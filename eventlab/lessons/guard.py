"""Processes of a page that end with its kernel, even if the kernel is killed.

Each kernel has one guard, a process that reads their process ids from a pipe. When the kernel ends,
the pipe ends, and the guard kills the processes that are left, even if they are stopped.
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
    """A process that the guard kills when the kernel ends, unless ``wait`` has returned."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended; the guard then forgets it."""
        status = super().wait(timeout)
        _tell(f"-{self.pid}")
        return status


def guarded(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> GuardedProcess:
    """Start a process that outlives an interrupt of the kernel, but not the kernel."""
    nothing = subprocess.DEVNULL
    process = GuardedProcess(
        argv, env=env, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    _tell(f"+{process.pid}")
    return process


def _tell(line: str) -> None:
    pipe = _guard(os.getpid()).stdin
    assert pipe is not None
    pipe.write(f"{line}\n".encode())
    pipe.flush()


@functools.cache
def _guard(_owner: int) -> subprocess.Popen[bytes]:
    """Return the guard of a process (a fork needs one of its own)."""
    command = [sys.executable, "-m", "eventlab.lessons.guard"]
    guard = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    atexit.register(guard.communicate)  # closes the pipe, and waits
    return guard


def main() -> None:
    """Read process ids until the pipe ends, then kill those that are left."""
    running: set[int] = set()
    for line in sys.stdin:
        change = running.add if line.startswith("+") else running.discard
        change(int(line[1:]))
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # ends a process that is stopped, too


if __name__ == "__main__":
    main()
