"""The process that runs the servers of one data directory.

The first ``connect()`` starts it, with the plan on its standard input. It starts the servers and
reports on its standard output. It stops them when nobody has held the lease for the grace time,
when it gets a SIGTERM, or when one of the servers has ended. The next ``connect()`` starts both
again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pymongo
from pymongo.errors import PyMongoError

from eventlab.servers import health, lock, replica_set, state
from eventlab.servers.config import REDIS
from eventlab.servers.errors import ServersFailed
from eventlab.servers.lease import Watch
from eventlab.servers.plan import Plan
from eventlab.servers.process import Process, stop_all
from eventlab.servers.starter import START_LOCK

READY_TIMEOUT_SECONDS = 100.0  # Redis needs a while to load a long log
POLL_SECONDS = 0.25


class Stop(BaseException):
    """A SIGTERM arrived."""


def main() -> None:
    """Detach from the starter, then run the servers until they have to stop."""
    plan = Plan.from_json(sys.stdin.read())
    if os.fork():
        os._exit(0)  # so that the starter has no child to wait for
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    os.umask(0o077)
    with contextlib.suppress(Stop):
        _supervise(plan)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # stopping must not be interrupted
    raise Stop


def _supervise(plan: Plan) -> None:
    # Never released by us: the lock is held as long as this process exists.
    lock.acquire(plan.data / state.SUPERVISOR_LOCK, timeout=READY_TIMEOUT_SECONDS)
    processes: list[Process] = []
    try:
        try:
            _start(plan, processes)
        except (ServersFailed, OSError, PyMongoError) as error:
            _answer({"error": str(error)})
            return
        _answer({"ready": True})
        _watch(plan, processes)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        state.clear_own(plan.data, os.getpid())
        stop_all(processes)
        _remove_sockets(plan)


def _start(plan: Plan, processes: list[Process]) -> None:
    for server in plan.servers:
        (plan.data / server.name).mkdir(mode=0o700, exist_ok=True)
        processes.append(Process(server, plan.data))
    for process in processes:
        _await_ready(process)
    pids = {process.server.name: process.pid for process in processes}
    sockets = {process.server.name: process.server.socket for process in processes}
    state.write(plan.data, state.Running(os.getpid(), pids, sockets))


def _await_ready(process: Process) -> None:
    path = process.server.socket
    if process.server.name == REDIS:
        _await(process, lambda: health.redis_answers(path))
        return
    _await(process, lambda: health.listens(path))
    client: replica_set.Client
    with pymongo.MongoClient(replica_set.socket_url(path)) as client:
        replica_set.initiate(client, path)
    _await(process, lambda: health.mongod_answers(path))


def _await(process: Process, is_ready: Callable[[], bool]) -> None:
    end = time.monotonic() + READY_TIMEOUT_SECONDS
    while not is_ready():
        if process.status() is not None:
            raise ServersFailed(f"{process.server.name} ended with status {process.status()}")
        if time.monotonic() > end:
            raise ServersFailed(
                f"{process.server.name} was not ready after {READY_TIMEOUT_SECONDS:.0f} s"
            )
        time.sleep(lock.POLL_SECONDS)


def _answer(answer: dict[str, object]) -> None:
    # Suppressed: the starter may have been killed; the next one reads the state.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(answer).encode())
    # The starter waits until this end of its pipe is closed.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, sys.stdin.fileno())
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _watch(plan: Plan, processes: list[Process]) -> None:
    watch = Watch(plan.data)
    wanted_at = time.monotonic()
    # A logout or a cleaner of /tmp may remove the sockets: nobody could connect or restart.
    while all(
        process.status() is None and Path(process.server.socket).exists() for process in processes
    ):
        time.sleep(POLL_SECONDS)
        if watch.is_deleted():
            # Nothing is left to keep, and a clean stop would write into a new directory of the
            # same name.
            for process in processes:
                process.kill()
        elif watch.is_wanted():
            wanted_at = time.monotonic()
        elif time.monotonic() - wanted_at > plan.grace and is_over(plan.data, watch):
            return


def is_over(data: Path, watch: Watch) -> bool:
    """Return whether nobody holds the lease, so that the servers stop.

    The start lock is held, so that no process can connect between the check and the stop.
    """
    starting = lock.attempt(data / START_LOCK)
    if starting is None:
        return False
    try:
        # A process may have connected since the last check. One that connects now finds no state
        # and waits for the end.
        over = not watch.is_wanted()
        if over:
            state.clear_own(data, os.getpid())
        return over
    finally:
        starting.release()


def _remove_sockets(plan: Plan) -> None:
    for server in plan.servers:
        Path(server.socket).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there are other files in it: it stays
        plan.runtime.rmdir()


if __name__ == "__main__":
    main()
