"""One server process: started, asked whether it lives, stopped; and found again when its supervisor was killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from eventlab.servers import lock
from eventlab.servers.config import Server

ASK_AGAIN = 0.25  # Redis may refuse a SIGTERM while it writes its log: it is asked again
PATIENCE = 8.0
LOG_LIMIT = 10 * 1024 * 1024
PR_SET_PDEATHSIG = 1


class Process:
    """A running server. It holds a lock of its own, so that a later supervisor knows it from a process id used anew."""

    def __init__(self, server: Server, data: Path) -> None:
        self.server = server
        end_leftover(server, data)
        Path(server.socket).unlink(missing_ok=True)
        own = lock.acquire(_lock_path(server, data), timeout=PATIENCE)
        try:
            self._popen = _spawn(server, own.fd)
            own.note(str(self._popen.pid))
        finally:
            own.hand_over()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def status(self) -> int | None:
        """Give the exit status, or None while it runs."""
        return self._popen.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM: Redis writes out its log, mongod steps down."""
        self._popen.terminate()

    def kill(self) -> None:
        """Send SIGKILL and wait."""
        self._popen.kill()
        self._popen.wait()


def stop_all(processes: list[Process]) -> None:
    """Stop servers together: by SIGTERM again and again, in the end by SIGKILL.

    Example: ``stop_all([redis, mongod])``
    """
    end = time.monotonic() + PATIENCE
    while living := [process for process in processes if process.status() is None]:
        for process in living:
            process.kill() if time.monotonic() > end else process.ask_to_stop()
        _wait(lambda: all(process.status() is not None for process in processes), ASK_AGAIN)


def end_leftover(server: Server, data: Path) -> None:
    """Wait for the server of a supervisor that was killed; end it where the system has not done so.

    Example: ``end_leftover(server, data)``
    """
    path = _lock_path(server, data)
    start = time.monotonic()
    while lock.is_held(path) and (waited := time.monotonic() - start) < 2 * PATIENCE:
        # The lock is held, so the process id in the file is the holder's and nobody else's.
        overdue = waited > PATIENCE
        with contextlib.suppress(
            ProcessLookupError, ValueError
        ):  # it just died; or died before its id was written
            os.kill(int(path.read_text("utf-8")), signal.SIGKILL if overdue else signal.SIGTERM)
        _wait(lambda: not lock.is_held(path), ASK_AGAIN)


def _lock_path(server: Server, data: Path) -> Path:
    return data / f"{server.name}.lock"


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(lock.PAUSE)


def _spawn(server: Server, lock_fd: int) -> subprocess.Popen[bytes]:
    log = Path(server.log)
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(f"{log}.old")
    with log.open("ab") as out:
        return subprocess.Popen(
            server.argv,
            env={**os.environ, **server.env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            pass_fds=[lock_fd],
            preexec_fn=_die_with_parent(),
        )


def _die_with_parent() -> Callable[[], None] | None:
    """Linux: the server gets a SIGTERM when the supervisor dies, even by SIGKILL."""
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl  # before the fork: little is safe after it

    def ask_for_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the request
            os._exit(1)

    return ask_for_signal
