"""Inspect processes, sockets and kernels from outside."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.provisioning import LocalProvisioner

from eventlab.servers import state
from eventlab.servers.state import Running
from tests.support.kernels import SocketKernelManager
from tests.support.waiting import PATIENCE_SECONDS, wait_until

LISTENING = "0A"


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def running(data: Path) -> Running:
    """Return the processes and sockets of a data directory; fail if none run."""
    found = state.read(data)
    assert found is not None, f"nothing runs for {data}"
    return found


def pids(found: Running) -> list[int]:
    return [found.supervisor, *found.pids.values()]


def is_gone(found: Running) -> bool:
    """Return whether no process and no socket is left."""
    sockets = [Path(path) for path in found.sockets.values()]
    return not any(map(is_alive, pids(found))) and not any(
        path.exists() or path.parent.exists() for path in sockets
    )


def kill(pid: int) -> None:
    """Send SIGKILL and wait for the end."""
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(pid))


def listening_ports(processes: Iterable[int]) -> list[str]:
    """Return the addresses of the TCP ports that the processes listen on, as in /proc/net."""
    inodes = {
        str(fd.readlink())
        for pid in processes
        for fd in Path(f"/proc/{pid}/fd").iterdir()
        if fd.is_symlink()
    }
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in inodes:
                found.append(fields[1])
    return found


def listening_sockets(pid: int) -> list[str]:
    """Return the paths of the unix sockets that a process listens on."""
    inodes = {fd.readlink().name for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:])
    accepts = "00010000"  # the flag of a socket that listens
    return [
        row[7]
        for row in rows
        if len(row) > 7 and row[3] == accepts and f"socket:[{row[6]}]" in inodes
    ]


@contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in its own process, which is killed at the end of the block."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """Wait for the next line that a process prints, and return it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


class Kernel:
    """A Jupyter kernel like that of a notebook."""

    def __init__(self) -> None:
        self._manager = SocketKernelManager(kernel_name="python3")
        self._manager.start_kernel()
        self.client: BlockingKernelClient = self._manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_SECONDS)

    @property
    def pid(self) -> int:
        provisioner = self._manager.provisioner
        assert isinstance(provisioner, LocalProvisioner)
        assert provisioner.pid is not None
        return provisioner.pid

    def begin(self, code: str) -> str:
        """Start a cell, and return the id of its message."""
        return self.client.execute(code)

    def interrupt_until_it_ends(self, message: str) -> str:
        """Interrupt a cell until it ends, and return what it printed and the name of its error.

        An interrupt that arrives while the kernel prints may be lost, so it is sent again. A line
        may arrive in two messages, its line end in the second one.
        """
        for _ in range(int(PATIENCE_SECONDS)):
            self.interrupt()
            with suppress(queue.Empty):
                return (self.wait_for_output(message, timeout=5) + self.end(message)).strip()
        raise AssertionError("the cell still runs after the interrupts")

    def wait_for_output(self, message: str, *, timeout: float = PATIENCE_SECONDS) -> str:
        """Wait until a cell prints, fails or ends; return its text, its error's name, or ""."""
        while True:
            got = self.client.get_iopub_msg(timeout=timeout)
            if got["parent_header"].get("msg_id") != message:
                continue
            content = got["content"]
            if got["msg_type"] == "stream" and content["name"] == "stdout":
                return str(content["text"])
            if got["msg_type"] == "error":
                return str(content["ename"])
            if got["msg_type"] == "status" and content["execution_state"] == "idle":
                return ""

    def end(self, message: str) -> str:
        """Wait for the end of a cell, and return what it printed and the name of its error."""
        return "".join(iter(lambda: self.wait_for_output(message), "")).strip()

    def run(self, code: str) -> str:
        return self.end(self.begin(code))

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        self._manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
