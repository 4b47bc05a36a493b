"""Servers run while a process holds the lease."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventlab.servers import (
    Lab,
    connect,
    directories,
    lease,
    lock,
    starter,
    state,
    supervisor,
)
from eventlab.servers.lease import Watch
from eventlab.servers.plan import GRACE_VARIABLE
from tests.support.servers import (
    is_alive,
    is_gone,
    line_of,
    pids,
    python,
    running,
)
from tests.support.waiting import PATIENCE_SECONDS, stays, wait_until

LONGER = 1.0  # than the grace time and the supervisor's check interval


CONNECT = """
from eventlab.servers import connect
lab = connect()
print(lab.redis.info("server")["process_id"], lab.mongo.command("serverStatus")["pid"], flush=True)
"""


CONNECT_AND_WAIT = CONNECT + "input()"


def write(lab: Lab, value: str) -> None:
    """Write to both servers, to MongoDB in a transaction."""
    lab.redis.rpush("kept", value)
    with lab.mongo.client.start_session() as session, session.start_transaction():
        lab.mongo.kept.insert_one({"_id": value}, session=session)


LEASE_AND_WAIT = """
import sys
from pathlib import Path
from eventlab.servers import lease
lease.take(Path(sys.argv[1]))
print("has it", flush=True)
input()
"""


FORK = """
import os, sys, time
from eventlab.servers import connect
lab = connect()
if os.fork() == 0:
    if sys.argv[1] == "connects":
        mine = connect()
    print("child\\n", end="", flush=True)
    time.sleep(60)
print("parent\\n", end="", flush=True)
time.sleep(60)
"""


def test_stop_does_not_miss_a_process_that_connects(data: Path) -> None:
    """The supervisor checks again under the start lock, and leaves no state for later starters."""
    directories.prepare_data(data)
    state.write(data, state.Running(os.getpid(), {}, {}))
    watch = Watch(data)
    with python(LEASE_AND_WAIT, data) as user:
        assert line_of(user) == "has it"
        assert not supervisor.is_over(data, watch)
        user.kill()
    with lock.held(data / starter.START_LOCK, timeout=1):
        assert not supervisor.is_over(data, watch)
    assert state.read(data) is not None
    assert supervisor.is_over(data, watch)
    assert state.read(data) is None


def test_two_processes_that_look_at_a_lock_do_not_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    looking = lock._attempt(path, fcntl.LOCK_SH)
    assert looking is not None
    assert not lock.is_held(path)
    looking.release()


def test_lease_is_taken_under_the_start_lock(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories.prepare_data(data)
    monkeypatch.setattr(starter, "START_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "take", lambda _data: pytest.fail("took it"))
    with lock.held(data / starter.START_LOCK, timeout=1), pytest.raises(TimeoutError):
        starter.ensure(data, {"redis", "mongod"})


@pytest.mark.parametrize(("child", "kept"), [("connects", True), ("does not", False)])
def test_forked_child_has_a_lease_when_it_connects(data: Path, child: str, kept: bool) -> None:
    with python(FORK, child) as parent:
        assert {line_of(parent), line_of(parent)} == {"parent", "child"}
        found = running(data)
        [child_pid] = [
            int(pid)
            for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        ]
        try:
            parent.kill()
            if kept:
                assert stays(lambda: all(map(is_alive, pids(found))), LONGER)
            else:
                assert wait_until(lambda: is_gone(found))
            assert is_alive(child_pid)
        finally:
            os.kill(child_pid, signal.SIGKILL)
        assert wait_until(lambda: is_gone(found))


def test_keepalive_outlives_the_kernels(data: Path) -> None:
    with subprocess.Popen([sys.executable, "-m", "eventlab.servers.keepalive"]) as holder:
        try:
            assert wait_until(lambda: data.exists() and state.read(data))
            found = running(data)
            with python(CONNECT_AND_WAIT) as kernel:
                assert line_of(kernel) == f"{found.pids['redis']} {found.pids['mongod']}"
            assert stays(lambda: all(map(is_alive, pids(found))), LONGER)
            holder.terminate()
            assert holder.wait(PATIENCE_SECONDS) == 0
        finally:
            holder.kill()
    assert wait_until(lambda: is_gone(found))


def test_servers_stay_for_the_grace_time(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GRACE_VARIABLE, "3600")
    with connect():
        found = running(data)
    assert stays(lambda: state.is_supervised(data), 4 * supervisor.POLL_SECONDS)
    with connect():
        assert running(data) == found
