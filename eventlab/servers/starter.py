"""Getting the servers of a data directory: those that run, else new ones."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

from eventlab.servers import health, lease, lock, state
from eventlab.servers.config import REDIS
from eventlab.servers.errors import ServersFailed
from eventlab.servers.plan import Plan, make_plan
from eventlab.servers.state import Running

START_LOCK = "start.lock"
SUPERVISOR_LOG = "supervisor.log"
TIMEOUT = 120.0


def ensure(data: Path, wanted: Collection[str]) -> Running:
    """Take this process's lease and give the servers of a prepared data directory, started now if none run.

    Raises ServersFailed with what the servers said, BinaryMissing, BinaryUnusable or DirectoryRefused.

    Example: ``ensure(data, {"redis", "mongod"})``
    """
    # Whoever starts holds this lock, and so does the supervisor when it decides to stop: neither can miss the other.
    with lock.held(data / START_LOCK, timeout=TIMEOUT):
        lease.take(data)
        try:
            return _running_or_started(data, wanted)
        except BaseException:
            lease.give_back(data)
            raise


def stop(data: Path) -> None:
    """Stop the servers of a data directory, whoever uses them, and wait until they are gone.

    Raises TimeoutError when they are not gone in time.

    Example: ``stop(data_directory())``
    """
    with lock.held(data / START_LOCK, timeout=TIMEOUT):
        running = state.read(data)
        if running is not None and state.is_supervised(data):
            with contextlib.suppress(ProcessLookupError):  # it ended by itself at this moment
                os.kill(running.supervisor, signal.SIGTERM)
        lock.acquire(data / state.SUPERVISOR_LOCK, timeout=TIMEOUT).release()


def _running_or_started(data: Path, wanted: Collection[str]) -> Running:
    end = time.monotonic() + TIMEOUT
    while state.is_supervised(data):
        running = state.read(data)
        if running is not None and health.answer(running.sockets):
            return _with_all(running, wanted, data)
        # It is about to stop, for no one's use or for a dead server; or it still starts, and its starter was killed.
        if time.monotonic() > end:
            raise ServersFailed(
                f"the supervisor of {data} neither runs nor ends\n{_last_words(data)}"
            )
        time.sleep(lock.PAUSE)
    state.clear(data)
    return _started(data, wanted)


def _with_all(running: Running, wanted: Collection[str], data: Path) -> Running:
    missing = sorted(set(wanted) - running.sockets.keys())
    if missing:
        raise ServersFailed(
            f"{' and '.join(missing)} does not run for {data}: its servers were started by a process that uses one of "
            "its own; set the same EVENTLAB_REDIS_URL and EVENTLAB_MONGODB_URL here, or another EVENTLAB_DATA"
        )
    return running


def _started(data: Path, wanted: Collection[str]) -> Running:
    plan = make_plan(data, wanted)
    # -P: a file of the notebook's directory that is called like a module must not be imported for it.
    command = [sys.executable, "-P", "-m", "eventlab.servers.supervisor", str(data)]
    with (data / SUPERVISOR_LOG).open("ab") as log:
        done = subprocess.run(
            command,
            input=plan.to_json().encode(),
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # or the notebook's Interrupt button would reach the servers
            check=False,
        )
    running = state.read(data)
    if running is None:
        said = (
            json.loads(done.stdout)
            if done.stdout
            else {"error": "the supervisor ended before it could say why"}
        )
        answer = said.get("error", "one of them ended at once")
        words = _last_words(data)
        raise ServersFailed(f"the servers did not start: {answer}\n{words}{_remedy(plan, words)}")
    return running


def _remedy(plan: Plan, words: str) -> str:
    """How to get a program that Redis names and no wheel brings: it is the server itself, called by that name."""
    if "use ./redis-check-aof" not in words:
        return ""
    [program] = [server.argv[0] for server in plan.servers if server.name == REDIS]
    [manifest] = (plan.data / REDIS).rglob("*.manifest")
    return f"\nTo get that program: ln -s '{program}' redis-check-aof; then ./redis-check-aof --fix '{manifest}'"


def _last_words(data: Path, *, size: int = 1500) -> str:
    words = []
    for log in sorted(data.glob("*.log")):
        text = log.read_text("utf-8", errors="replace")[-size:]
        words.append(f"--- the end of {log}\n{text.rstrip()}")
    return "\n".join(words)
