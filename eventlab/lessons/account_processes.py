"""Run the account service as several processes: HTTP instances and a projector."""

from __future__ import annotations

import os
import signal
import sys
from typing import Self

import requests

from eventlab.lessons.guard import GuardedProcess, guarded
from eventlab.lessons.ports import free_port
from eventlab.lessons.waiting import PATIENCE_SECONDS, wait_until


class AccountProcesses:
    """Runs instances of ``eventlab serve`` and one ``eventlab project``, each in its own process.

    All processes use the same category and collection. ``urls`` holds the URLs of the instances.
    The constructor returns when all instances are ready. The processes end with the kernel.

    >>> bank = AccountProcesses("accounts", "accountsView")
    >>> len(bank.urls)
    2
    >>> bank.close()
    [0, 0, 0]
    """

    def __init__(self, category: str, collection: str, *, instances: int = 2) -> None:
        self._options = ["--category", category, "--collection", collection]
        self._ports = [str(free_port()) for _ in range(instances)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        self.instances = [self._start("serve", "--port", port) for port in self._ports]
        self.projector = self._start("project", "--view", "accounts")
        wait_until(lambda: all(map(_is_ready, self.urls)))

    def kill(self, number: int) -> None:
        """Kill an instance with SIGKILL; number 0 is the first instance."""
        self.instances[number].kill()
        self.instances[number].wait(PATIENCE_SECONDS)

    def restart(self, number: int) -> None:
        """Restart a killed instance on the same port, and wait until it is ready."""
        self.instances[number] = self._start("serve", "--port", self._ports[number])
        wait_until(lambda: _is_ready(self.urls[number]))

    def pause_projector(self) -> None:
        """Pause the projector with SIGSTOP, and wait until it has stopped."""
        self.projector.send_signal(signal.SIGSTOP)
        os.waitpid(self.projector.pid, os.WUNTRACED)

    def resume_projector(self) -> None:
        """Resume the paused projector."""
        self.projector.send_signal(signal.SIGCONT)

    def close(self) -> list[int]:
        """Stop the processes that are still running, and return their exit statuses."""
        running = [p for p in (*self.instances, self.projector) if p.poll() is None]
        for process in running:
            process.send_signal(signal.SIGCONT)  # a paused process could not exit
            process.terminate()
        return [process.wait(PATIENCE_SECONDS) for process in running]

    def _start(self, *command: str) -> GuardedProcess:
        return guarded([sys.executable, "-m", "eventlab", *command, *self._options])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=5).ok
    except requests.RequestException:  # not ready yet, or too slow
        return False
