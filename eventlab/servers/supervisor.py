"""The supervisor: the process that runs the servers of one data directory.

The first ``connect()`` starts the supervisor and passes the plan on standard input. The supervisor
starts the servers and reports the result on standard output. If a server exits or loses its socket,
the supervisor restarts it while the other server keeps running. The supervisor stops both servers
when no process has held the lease (see ``lease.py``) for the grace period, or when the supervisor
receives SIGTERM. If the supervisor itself is killed, a process that holds the lease restarts the
supervisor (see ``healing.py``).
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
import redis
from pymongo.errors import PyMongoError

from eventlab.servers import health, lock, replica_set, state
from eventlab.servers.config import REDIS
from eventlab.servers.errors import ServersFailed
from eventlab.servers.keeper import Keeper
from eventlab.servers.lease import Watch
from eventlab.servers.plan import Plan
from eventlab.servers.process import Process, stop_all
from eventlab.servers.starter import START_LOCK

READY_TIMEOUT_SECONDS = 100.0  # Redis needs a while to load a long log
POLL_SECONDS = 0.25


class Stop(BaseException):
    """Raised when SIGTERM arrives."""


def main() -> None:
    """Detach from the starter, then run the servers until they have to stop."""
    plan = Plan.from_json(sys.stdin.read())
    if os.fork():
        os._exit(0)  # so that the starter does not have to wait for a child
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    os.umask(0o077)
    with contextlib.suppress(Stop):
        _supervise(plan)


def _stop(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # stopping must not be interrupted
    raise Stop


def _supervise(plan: Plan) -> None:
    # Never released explicitly, because the process holds the lock for its whole life.
    lock.acquire(plan.data / state.SUPERVISOR_LOCK, timeout=READY_TIMEOUT_SECONDS)
    keepers: list[Keeper] = []
    try:
        try:
            _start(plan, keepers)
        except (ServersFailed, OSError, PyMongoError, redis.RedisError) as error:
            _answer({"error": str(error)})
            return
        _answer({"ready": True})
        _watch(plan, keepers)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not isinstance(sys.exc_info()[1], Exception):  # otherwise, its users restart it
            state.clear_own(plan.data, os.getpid())
        stop_all([keeper.process for keeper in keepers])
        _remove_sockets(plan)


def _start(plan: Plan, keepers: list[Keeper]) -> None:
    keepers.extend(Keeper(server, plan) for server in plan.servers)
    for keeper in keepers:
        _await_ready(keeper.process, plan.data)
        keeper.note_socket()
    _write_state(plan, keepers)


def _write_state(plan: Plan, keepers: list[Keeper]) -> None:
    pids = {keeper.server.name: keeper.process.pid for keeper in keepers}
    sockets = {keeper.server.name: keeper.server.socket for keeper in keepers}
    trouble = "; ".join(filter(None, (keeper.trouble for keeper in keepers)))
    state.write(plan.data, state.Running(os.getpid(), pids, sockets, trouble))


def _await_ready(process: Process, data: Path) -> None:
    path = process.server.socket
    if process.server.name == REDIS:
        _await(process, lambda: health.redis_answers(path))
        _rewrite_preamble(process, data)
        return
    _await(process, lambda: health.listens(path))
    client: replica_set.Client
    with pymongo.MongoClient(replica_set.socket_url(path)) as client:
        replica_set.initiate(client, path)
    _await(process, lambda: health.mongod_answers(path))


def _rewrite_preamble(process: Process, data: Path) -> None:
    """Rewrite an append-only file with an RDB preamble, as written by earlier versions."""
    if any((data / REDIS).rglob("*.base.rdb")):
        with redis.Redis(unix_socket_path=process.server.socket) as client:
            client.bgrewriteaof()


def _await(process: Process, is_ready: Callable[[], bool]) -> None:
    end = time.monotonic() + READY_TIMEOUT_SECONDS
    while not is_ready():
        if process.status() is not None:
            raise ServersFailed(f"{process.server.name} exited with status {process.status()}")
        if time.monotonic() > end:
            raise ServersFailed(
                f"{process.server.name} was not ready after {READY_TIMEOUT_SECONDS:.0f} s"
            )
        time.sleep(lock.POLL_SECONDS)


def _answer(answer: dict[str, object]) -> None:
    # Suppressed because the starter may have been killed. The next starter reads the state.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(answer).encode())
    # The starter waits until the supervisor closes its end of the pipe.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, sys.stdin.fileno())
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _watch(plan: Plan, keepers: list[Keeper]) -> None:
    watch = Watch(plan.data)
    wanted_at = time.monotonic()
    has_news = False
    while True:
        time.sleep(POLL_SECONDS)
        if watch.is_deleted():
            # There is no data left to save, and a clean stop would write to a new directory with
            # the same name.
            for keeper in keepers:
                keeper.process.kill()
            return
        if watch.is_wanted():
            wanted_at = time.monotonic()
        elif time.monotonic() - wanted_at > plan.grace and is_over(plan.data, watch):
            return
        for keeper in keepers:
            has_news |= keeper.check()
        if has_news:
            with contextlib.suppress(OSError):  # the disk may be full, so try again later
                _write_state(plan, keepers)
                has_news = False


def is_over(data: Path, watch: Watch) -> bool:
    """Return whether the servers must stop because no process holds the lease.

    If so, the state is cleared. The check holds the start lock, so that no process can connect in
    the meantime.
    """
    starting = lock.attempt(data / START_LOCK)
    if starting is None:
        return False
    try:
        # A process may have connected since the last check. A process that connects from now on
        # finds no state and waits until the supervisor has exited.
        over = not watch.is_wanted()
        if over:
            state.clear_own(data, os.getpid())
        return over
    finally:
        starting.release()


def _remove_sockets(plan: Plan) -> None:
    for server in plan.servers:
        with contextlib.suppress(OSError):  # the socket's directory was replaced
            Path(server.socket).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # kept if it contains other files
        plan.runtime.rmdir()


if __name__ == "__main__":
    main()
