"""Find the running servers of a data directory, or start new ones."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from eventlab import settings
from eventlab.servers import directories, health, lease, lock, state
from eventlab.servers.config import REDIS
from eventlab.servers.errors import DirectoryRefused, ServersFailed
from eventlab.servers.plan import Plan, make_plan
from eventlab.servers.state import Running

START_LOCK = "start.lock"
SUPERVISOR_LOG = "supervisor.log"
START_TIMEOUT_SECONDS = 120.0
#: What Valkey logs about a Redis 8 RDB file, and what Redis logs about a Valkey RDB file.
OTHER_FORMAT = ("Can't handle RDB format", "Wrong signature trying to load DB", "Bad file format")
#: The environment variables that the servers and their supervisor need. The servers may outlive the
#: process that starts them by days, and must not inherit the secrets of that process.
ENVIRONMENT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TZDIR|TMPDIR|(LD|DYLD)_\w+|MALLOC_\w+"
    r"|GLIBC_TUNABLES|PYTHON\w+|VIRTUAL_ENV|XDG_RUNTIME_DIR"
    r"|COVERAGE_PROCESS_\w+"  # lets coverage.py measure the supervisor
)


def ensure(data: Path, wanted: Collection[str]) -> Running:
    """Take the lease for this process and return the servers of a prepared data directory.

    Starts the servers if they are not running. Raises BinaryMissing, BinaryUnusable,
    DirectoryRefused, or ServersFailed with the end of the server logs.
    """
    # A supervisor that decides whether to stop holds the same lock, so it cannot decide to stop
    # while this process connects.
    with contextlib.ExitStack() as locked:
        # Some network file systems do not support locks.
        with directories.usable(data, directories.DATA_VARIABLE):
            start = lock.acquire(data / START_LOCK, timeout=START_TIMEOUT_SECONDS)
            locked.callback(start.release)
            lease.take(data)
        try:
            return _running_or_started(data, wanted)
        except BaseException:
            lease.give_back(data)
            raise


def heal(data: Path, sockets: Mapping[str, str]) -> bool:
    """Restart the servers at these sockets if their supervisor was killed.

    Returns whether the servers were restarted. A supervisor that received a stop signal, or that
    stopped because no process held the lease, has cleared its state and is not restarted. Raises
    the same errors as ``ensure``.
    """
    if not _was_killed(data, sockets):
        return False
    starting = lock.attempt(data / START_LOCK)
    if starting is None:  # another process is starting them
        return False
    try:
        if not _was_killed(data, sockets):
            return False
        # Use the same sockets as before, because the clients are configured with them.
        _started(data, sockets, Path(next(iter(sockets.values()))).parent)
        return True
    finally:
        starting.release()


def _was_killed(data: Path, sockets: Mapping[str, str]) -> bool:
    # Check the state first, because checking a lock would create its file in a new directory with
    # this name.
    running = state.read(data)
    return (
        running is not None and running.sockets == dict(sockets) and not state.is_supervised(data)
    )


def stop(data: Path) -> None:
    """Stop the servers of a data directory, even if they are in use, and wait until they exit.

    Raises TimeoutError if they do not exit in time.
    """
    with lock.held(data / START_LOCK, timeout=START_TIMEOUT_SECONDS):
        running = state.read(data)
        if running is not None and state.is_supervised(data):
            with contextlib.suppress(ProcessLookupError):  # it has just exited by itself
                os.kill(running.supervisor, signal.SIGTERM)
        lock.acquire(data / state.SUPERVISOR_LOCK, timeout=START_TIMEOUT_SECONDS).release()


def _running_or_started(data: Path, wanted: Collection[str]) -> Running:
    end = time.monotonic() + START_TIMEOUT_SECONDS
    while state.is_supervised(data):
        running = state.read(data)
        if running is not None and health.answer(running.sockets):
            if state.is_supervised(data):  # otherwise, it was just killed
                return _with_all(running, wanted, data)
            break
        if running is not None:
            _refuse_hopeless(running, data)
        # The supervisor is about to stop because it is unused, or it is restarting a server, or
        # it is still starting and its starter was killed.
        if time.monotonic() > end:
            raise ServersFailed(
                f"the supervisor of {data} is still running, but its servers are not ready\n"
                f"{_last_words(data)}"
            )
        time.sleep(lock.POLL_SECONDS)
    return _started(data, wanted)


def _refuse_hopeless(running: Running, data: Path) -> None:
    """Raise an error if the servers do not respond and waiting would not help."""
    if running.trouble:
        raise ServersFailed(
            f"{running.trouble}, but each restart fails: find the cause in its log\n"
            f"{_last_words(data)}"
        )
    runtime = Path(next(iter(running.sockets.values()))).parent
    if not runtime.exists() and _is_isolated_from(running.supervisor):
        raise DirectoryRefused(
            data,
            f"is in use in another container, whose sockets in {runtime} are not visible here: set "
            f"{directories.RUNTIME_VARIABLE} in both to a directory that they share, or "
            f"{directories.DATA_VARIABLE} here to another directory",
        )


def _is_isolated_from(pid: int) -> bool:
    """Return whether a running process is in another container or has a private /tmp."""
    try:
        namespaces = [Path(f"/proc/{who}/ns/mnt").stat().st_ino for who in (pid, "self")]
    except FileNotFoundError:  # not visible here, so it is in another container
        return Path("/proc/self/ns/mnt").exists()
    except OSError:
        return False
    return len(set(namespaces)) > 1


def _with_all(running: Running, wanted: Collection[str], data: Path) -> Running:
    missing = sorted(set(wanted) - running.sockets.keys())
    if missing:
        raise ServersFailed(
            f"{data} has no private {' or '.join(missing)}, because the process that started its "
            "servers uses an external one: set the same EVENTLAB_REDIS_URL and "
            "EVENTLAB_MONGODB_URL here, or another EVENTLAB_DATA"
        )
    return running


def _started(data: Path, wanted: Collection[str], runtime: Path | None = None) -> Running:
    plan = make_plan(data, wanted, runtime)
    # -P prevents Python from importing a file in the notebook's directory that shadows a module.
    command = [sys.executable, "-P", "-m", "eventlab.servers.supervisor", str(data)]
    # The state that a killed supervisor left is kept, because this state tells other processes
    # that the supervisor was killed.
    before = state.read(data)
    with (data / SUPERVISOR_LOG).open("ab") as log:
        done = subprocess.run(
            command,
            input=plan.to_json().encode(),
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # so that the Interrupt button does not stop the servers
            env={k: v for k, v in os.environ.items() if ENVIRONMENT.fullmatch(k)},
            check=False,
        )
    running = state.read(data)
    if running is None or running == before:
        report = (
            json.loads(done.stdout)
            if done.stdout
            else {"error": "the supervisor exited without giving a reason"}
        )
        answer = report.get("error", "a server exited immediately")
        words = _last_words(data)
        raise ServersFailed(f"the servers did not start: {answer}\n{words}{_remedy(plan, words)}")
    return running


def _remedy(plan: Plan, words: str) -> str:
    """Return advice about an append-only file that the server cannot read, or an empty string."""
    if any((plan.data / REDIS).rglob("*.base.rdb")) and any(sign in words for sign in OTHER_FORMAT):
        return (
            "\nRedis cannot read data that Valkey wrote, or Valkey cannot read data that Redis "
            f"wrote: set {settings.REDIS_SERVER} to the server program that wrote the data, and "
            "start eventlab once; it then stores the data in a format that both can read"
        )
    # No wheel includes redis-check-aof, but it is only a link to redis-server.
    if "use ./redis-check-aof" not in words:
        return ""
    [program] = [server.argv[0] for server in plan.servers if server.name == REDIS]
    [manifest] = (plan.data / REDIS).rglob("*.manifest")
    return (
        f"\nTo get redis-check-aof: ln -s '{program}' redis-check-aof; "
        f"then ./redis-check-aof --fix '{manifest}'"
    )


def _last_words(data: Path, *, size: int = 1500) -> str:
    words = []
    for log in sorted(data.glob("*.log")):
        text = log.read_text("utf-8", errors="replace")[-size:]
        words.append(f"--- the end of {log}\n{text.rstrip()}")
    return "\n".join(words)
