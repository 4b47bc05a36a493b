"""Servers that a page starts end with its kernel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from eventlab.lessons import guard
from eventlab.lessons.guard import GuardedProcess
from eventlab.lessons.mongodb_members import replica_set_of_three
from eventlab.lessons.redis_nodes import cluster_of_pairs, one_redis
from eventlab.lessons.waiting import wait_until

PROGRAM = """
import os, pathlib, signal, sys
from eventlab.lessons.redis_nodes import one_redis

with one_redis(pathlib.Path(sys.argv[1])) as node:
    print(node.process_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_server_ends_with_a_kernel_that_is_killed(tmp_path: Path) -> None:
    program = [sys.executable, "-c", PROGRAM, str(tmp_path / "one")]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=False)
    pid = int(done.stdout)
    assert wait_until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"
    )


STOPPED = """
import os, signal
from eventlab.lessons.guard import guarded

process = guarded(["sleep", "60"])
process.send_signal(signal.SIGSTOP)
os.waitpid(process.pid, os.WUNTRACED)
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_stopped_process_ends_with_a_kernel_that_is_killed() -> None:
    program = [sys.executable, "-c", STOPPED]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=False)
    pid = int(done.stdout)
    assert wait_until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"
    )


@pytest.mark.parametrize("notice", [GuardedProcess.poll, GuardedProcess.wait])
def test_guard_forgets_a_process_that_has_ended(
    notice: Callable[[GuardedProcess], int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(guard, "_tell", told.append)
    process = guard.guarded(["true"])
    wait_until(lambda: notice(process) is not None)
    process.kill()
    process.wait()
    # Only once, because another guarded process may soon have the same id.
    assert told == [f"+{process.pid}", f"-{process.pid}"]


def test_server_ends_with_its_block(tmp_path: Path) -> None:
    with one_redis(tmp_path / "one", "--appendonly", "yes") as node:
        assert node.client.ping()
        pid = node.process_id
    assert not psutil.pid_exists(pid)


def test_server_keeps_its_data_over_a_kill(tmp_path: Path) -> None:
    with one_redis(tmp_path / "one", "--appendonly", "yes", "--appendfsync", "always") as node:
        node.client.set("key", "value")
        node.kill()
        assert not node.answers()
        node.start()
        assert node.client.get("key") == "value"


def test_wait_until_says_what_it_waited_for() -> None:
    with pytest.raises(TimeoutError, match="still 0 after 0 s"):
        wait_until(lambda: 0, seconds=0)


def test_cluster_of_six_has_three_masters(tmp_path: Path) -> None:
    with cluster_of_pairs(tmp_path, "accountStream") as cluster:
        roles = ["master"] * 3 + ["slave"] * 3
        assert wait_until(lambda: sorted(node.role() for node in cluster.nodes) == roles)


def test_replica_set_has_one_primary(tmp_path: Path) -> None:
    with replica_set_of_three(tmp_path) as replica_set:
        members = replica_set.members
        assert wait_until(lambda: sum(member.is_primary() for member in members) == 1)
