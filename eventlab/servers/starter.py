"""The servers of a data directory: find the running ones, or start new ones."""

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
START_TIMEOUT_SECONDS = 120.0


def ensure(data: Path, wanted: Collection[str]) -> Running:
    """Take the lease of this process and return the servers of a prepared data directory.

    They are started if none run. Raises ServersFailed with the end of the servers' logs,
    BinaryMissing, BinaryUnusable or DirectoryRefused.
    """
    # A process that starts servers holds this lock, and so does a supervisor that decides to stop:
    # neither can miss the other.
    with lock.held(data / START_LOCK, timeout=START_TIMEOUT_SECONDS):
        lease.take(data)
        try:
            return _running_or_started(data, wanted)
        except BaseException:
            lease.give_back(data)
            raise


def stop(data: Path) -> None:
    """Stop the servers of a data directory, even if they are in use, and wait until they are gone.

    Raises TimeoutError when they are not gone in time.
    """
    with lock.held(data / START_LOCK, timeout=START_TIMEOUT_SECONDS):
        running = state.read(data)
        if running is not None and state.is_supervised(data):
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(running.supervisor, signal.SIGTERM)
        lock.acquire(data / state.SUPERVISOR_LOCK, timeout=START_TIMEOUT_SECONDS).release()


def _running_or_started(data: Path, wanted: Collection[str]) -> Running:
    end = time.monotonic() + START_TIMEOUT_SECONDS
    while state.is_supervised(data):
        running = state.read(data)
        if running is not None and health.answer(running.sockets):
            return _with_all(running, wanted, data)
        # It is about to stop, because it is unused or a server died. Or it is still starting,
        # and its starter was killed.
        if time.monotonic() > end:
            raise ServersFailed(
                f"the supervisor of {data} has neither started nor stopped\n{_last_words(data)}"
            )
        time.sleep(lock.POLL_SECONDS)
    state.clear(data)
    return _started(data, wanted)


def _with_all(running: Running, wanted: Collection[str], data: Path) -> Running:
    missing = sorted(set(wanted) - running.sockets.keys())
    if missing:
        raise ServersFailed(
            f"{data} has no private {' or '.join(missing)}, because the process that started its "
            "servers uses an external one: set the same EVENTLAB_REDIS_URL and "
            "EVENTLAB_MONGODB_URL here, or another EVENTLAB_DATA"
        )
    return running


def _started(data: Path, wanted: Collection[str]) -> Running:
    plan = make_plan(data, wanted)
    # -P: a file in the notebook's directory with the name of a module must not be imported.
    command = [sys.executable, "-P", "-m", "eventlab.servers.supervisor", str(data)]
    with (data / SUPERVISOR_LOG).open("ab") as log:
        done = subprocess.run(
            command,
            input=plan.to_json().encode(),
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # or the Interrupt button would stop the servers
            check=False,
        )
    running = state.read(data)
    if running is None:
        report = (
            json.loads(done.stdout)
            if done.stdout
            else {"error": "the supervisor exited without giving a reason"}
        )
        answer = report.get("error", "one of them ended immediately")
        words = _last_words(data)
        raise ServersFailed(f"the servers did not start: {answer}\n{words}{_remedy(plan, words)}")
    return running


def _remedy(plan: Plan, words: str) -> str:
    """Return how to get redis-check-aof, which no wheel has: it is a link to redis-server."""
    if "use ./redis-check-aof" not in words:
        return ""
    [program] = [server.argv[0] for server in plan.servers if server.name == REDIS]
    [manifest] = (plan.data / REDIS).rglob("*.manifest")
    return (
        f"\nTo get that program: ln -s '{program}' redis-check-aof; "
        f"then ./redis-check-aof --fix '{manifest}'"
    )


def _last_words(data: Path, *, size: int = 1500) -> str:
    words = []
    for log in sorted(data.glob("*.log")):
        text = log.read_text("utf-8", errors="replace")[-size:]
        words.append(f"--- the end of {log}\n{text.rstrip()}")
    return "\n".join(words)
