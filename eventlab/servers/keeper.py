"""Keep one server running: restart it when it has exited or lost its socket."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

from eventlab.servers import directories
from eventlab.servers.config import Server
from eventlab.servers.errors import ServersError
from eventlab.servers.plan import Plan
from eventlab.servers.process import Process, stop_all

#: The pause before each restart. All pauses are short, so that a server starts soon after disk
#: space is freed.
PAUSES_SECONDS: Final = (0.0, 1.0, 2.0, 4.0)
STABLE_SECONDS: Final = 10.0  # a server that has run for this long has started successfully


class Keeper:
    """Starts a server and restarts it whenever necessary."""

    def __init__(self, server: Server, plan: Plan) -> None:
        self.server = server
        self.trouble = ""
        self._plan = plan
        self._failures = 0
        self._next_attempt: float | None = None
        self._had_socket = False
        self.process = self._start()

    def check(self) -> bool:
        """Restart the server if it has exited or lost its socket.

        Returns whether the state of the server has changed.
        """
        now = time.monotonic()
        if self._next_attempt is not None:
            return now >= self._next_attempt and self._start_again(now)
        if self.process.status() is None and not self._has_lost_socket():
            return now - self._started_at > STABLE_SECONDS and self._is_well_again()
        # A logout or a /tmp cleaner may have removed the socket, so that no client can connect.
        lost_socket = self.process.status() is None
        stop_all([self.process])
        reason = "lost its socket" if lost_socket else f"exited with status {self.process.status()}"
        return self._failed(reason, now)

    def note_socket(self) -> bool:
        """Return whether the server's socket exists; if so, remember that the socket has existed.

        A new server does not have its socket yet, and a running server can lose it.
        """
        exists = Path(self.server.socket).exists()
        self._had_socket = self._had_socket or exists
        return exists

    def _start(self) -> Process:
        self._started_at = time.monotonic()
        self._had_socket = False
        (self._plan.data / self.server.name).mkdir(mode=0o700, exist_ok=True)
        return Process(self.server, self._plan.data)

    def _start_again(self, now: float) -> bool:
        try:
            directories.prepare_runtime(self._plan.runtime)
            self.process = self._start()
        except (OSError, ServersError) as error:
            return self._failed(f"failed to start ({error})", now)
        self._next_attempt = None
        return True

    def _failed(self, reason: str, now: float) -> bool:
        pause = PAUSES_SECONDS[min(self._failures, len(PAUSES_SECONDS) - 1)]
        self._next_attempt = now + pause
        self._failures += 1
        message = f"{self.server.name} {reason} and is being restarted"
        if self._failures <= len(PAUSES_SECONDS):  # otherwise, a broken server would fill the log
            print(message, file=sys.stderr, flush=True)
        before = self.trouble
        # After one failure, the server may just need time; after two, waiting does not help.
        self.trouble = message if self._failures > 1 else ""
        return self.trouble != before

    def _is_well_again(self) -> bool:
        self._failures = 0
        was_in_trouble = bool(self.trouble)
        self.trouble = ""
        return was_in_trouble

    def _has_lost_socket(self) -> bool:
        return not self.note_socket() and self._had_socket
