"""One server process: start it, check it, stop it, and find it after its supervisor was killed."""

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

SIGTERM_INTERVAL_SECONDS = 0.25  # Redis may ignore SIGTERM while it writes its log
STOP_TIMEOUT_SECONDS = 8.0
MAX_LOG_BYTES = 10 * 1024 * 1024
PR_SET_PDEATHSIG = 1


class Process:
    """A running server process.

    The process holds its own lock, so that a later supervisor can distinguish the server from
    another process with the same process id.
    """

    def __init__(self, server: Server, data: Path) -> None:
        self.server = server
        end_leftover(server, data)
        Path(server.socket).unlink(missing_ok=True)
        lease = lock.acquire(_lock_path(server, data), timeout=STOP_TIMEOUT_SECONDS)
        try:
            self._popen = _spawn(server, lease.fd)
            try:
                lease.note(str(self._popen.pid))
            except OSError:  # the disk is full, so no process could find the server again
                self.kill()
                raise
        finally:
            lease.hand_over()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def status(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        return self._popen.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, which makes Redis flush its append-only file and mongod step down."""
        self._popen.terminate()

    def kill(self) -> None:
        """Send SIGKILL, and wait for the process to exit."""
        self._popen.kill()
        self._popen.wait()


def stop_all(processes: list[Process]) -> None:
    """Stop several servers at once: send SIGTERM repeatedly, and SIGKILL as a last resort."""
    end = time.monotonic() + STOP_TIMEOUT_SECONDS
    while living := [process for process in processes if process.status() is None]:
        for process in living:
            process.kill() if time.monotonic() > end else process.ask_to_stop()
        _wait(
            lambda: all(process.status() is not None for process in processes),
            SIGTERM_INTERVAL_SECONDS,
        )


def end_leftover(server: Server, data: Path) -> None:
    """Stop a server that a killed supervisor left running; do nothing if there is none."""
    path = _lock_path(server, data)
    start = time.monotonic()
    while lock.is_held(path) and (waited := time.monotonic() - start) < 2 * STOP_TIMEOUT_SECONDS:
        # Because the lock is held, the process id in the file is the holder's.
        overdue = waited > STOP_TIMEOUT_SECONDS
        # Suppressed because the process may have just died, or its id may not be written yet.
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(path.read_text("utf-8")), signal.SIGKILL if overdue else signal.SIGTERM)
        _wait(lambda: not lock.is_held(path), SIGTERM_INTERVAL_SECONDS)


def _lock_path(server: Server, data: Path) -> Path:
    return data / f"{server.name}.lock"


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(lock.POLL_SECONDS)


def _spawn(server: Server, lock_fd: int) -> subprocess.Popen[bytes]:
    log = Path(server.log)
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
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
    """Return a function that makes Linux send the server SIGTERM when the supervisor dies.

    The signal is sent even if the supervisor dies by SIGKILL. On other systems, return None.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl  # loaded before the fork, because little is safe after it

    def ask_for_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the supervisor died before the request
            os._exit(1)

    return ask_for_signal
