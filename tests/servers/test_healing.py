"""A lab heals: servers that die are restarted for every process that holds the lease."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymongo.errors
import pytest
import redis
import requests

from eventlab import Event, EventStore, settings
from eventlab.accounts.names import CATEGORY
from eventlab.lessons.ports import free_port
from eventlab.servers import Lab, ServersFailed, binaries, connect, healing, health, starter, state
from tests.support import accounts_api, command
from tests.support.servers import is_alive, kill, line_of, pids, python, running
from tests.support.waiting import stays, wait_until

LONGER = 2.0  # than the pause between two looks at the supervisor

WAIT_AND_USE = """
from eventlab.servers import connect
with connect() as lab:
    print(input(), flush=True)
    input()
"""

FAILS_WHILE_FULL = """#!/bin/sh
case "$1" in *version*) ;; *) [ -e "{full}" ] && echo "no space left" && exit 14 ;; esac
exec "{program}" "$@"
"""


def works(lab: Lab) -> bool:
    """Return whether both servers of a Lab that was open all the time take a write."""
    with suppress(redis.RedisError, pymongo.errors.PyMongoError), pymongo.timeout(1):
        lab.mongo.kept.insert_one({})
        return bool(lab.redis.rpush("kept", 1))
    return False


@pytest.mark.parametrize("killed", [["supervisor"], ["supervisor", "redis", "mongod"]])
def test_killed_supervisor_is_started_again_by_a_process_that_holds_the_lease(
    data: Path, killed: list[str]
) -> None:
    """No process connects again, and the sockets stay the same."""
    with connect() as lab, python(WAIT_AND_USE) as other:
        assert other.stdin is not None
        other.stdin.write("ready\n")
        other.stdin.flush()
        assert line_of(other) == "ready"
        lab.redis.set("before", 1)
        # While an fsync takes long, Redis delays what it writes to its log.
        assert lab.redis.execute_command("WAITAOF", 1, 0, 0)[0] == 1
        found = running(data)
        for name in killed:
            with suppress(ProcessLookupError):  # without a supervisor they end by themselves
                os.kill({"supervisor": found.supervisor, **found.pids}[name], signal.SIGKILL)
        assert wait_until(lambda: not set(pids(running(data))) & set(pids(found)))
        now = running(data)
        assert wait_until(lambda: works(lab))
        assert now.sockets == found.sockets
        assert lab.redis.get("before") == "1"


def test_forked_child_starts_a_killed_supervisor_again(data: Path) -> None:
    code = (
        "import os\nfrom eventlab.servers import connect\nlab = connect()\n"
        "if os.fork() == 0:\n    mine = connect()\n    print('child', flush=True)\n    input()\n"
        "else:\n    os.kill(os.getpid(), 19)"  # the parent is stopped, and heals nothing
    )
    with python(code) as parent:
        assert line_of(parent) == "child"
        found = running(data)
        kill(found.supervisor)
        assert wait_until(
            lambda: (
                running(data).supervisor != found.supervisor
                and health.answer(running(data).sockets)
            )
        )


def test_supervisor_that_was_told_to_stop_stays_stopped(data: Path) -> None:
    with connect():
        starter.stop(data)
        assert stays(lambda: not state.is_supervised(data), LONGER)
        assert state.read(data) is None


def test_lab_in_a_new_directory_of_the_same_name_is_left_alone(data: Path) -> None:
    with connect():
        sockets = running(data).sockets
        wait_until(lambda: shutil.rmtree(data, ignore_errors=True) or not data.exists())
        data.mkdir()
        assert not starter.heal(data, sockets)
        assert list(data.iterdir()) == []  # not even a lock, or it would be taken for another's


def test_server_that_cannot_start_yet_is_started_when_it_can(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a full disk is freed. Until then, connect() fails immediately and says so."""
    full = tmp_path / "full"
    program = tmp_path / "redis-server"
    program.write_text(FAILS_WHILE_FULL.format(full=full, program=binaries.find_redis().path))
    program.chmod(0o755)
    monkeypatch.setenv(settings.REDIS_SERVER, str(program))
    with connect() as lab:
        found = running(data)
        full.touch()
        kill(found.pids["redis"])
        assert wait_until(lambda: running(data).trouble)
        with pytest.raises(ServersFailed, match=r"(?s)redis exited with status 14 .*no space left"):
            connect()
        full.unlink()
        assert wait_until(lambda: works(lab))
        assert running(data).pids["mongod"] == found.pids["mongod"]


def test_supervisor_that_cannot_start_yet_is_started_when_it_can(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once that it cannot, and the data directory remembers that it was killed."""
    full = tmp_path / "full"
    program = tmp_path / "redis-server"
    program.write_text(FAILS_WHILE_FULL.format(full=full, program=binaries.find_redis().path))
    program.chmod(0o755)
    monkeypatch.setenv(settings.REDIS_SERVER, str(program))
    monkeypatch.setattr(healing, "RETRY_SECONDS", 0.1)
    with connect() as lab:
        full.touch()
        kill(running(data).supervisor)
        log = data / starter.SUPERVISOR_LOG
        attempts = "no space left"
        assert wait_until(lambda: (data / "redis.log").read_text().count(attempts) >= 3), log
        assert len([r for r in caplog.records if r.name == healing.__name__]) == 1
        full.unlink()
        assert wait_until(lambda: works(lab))


def test_connect_notices_a_supervisor_that_is_killed_meanwhile(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its servers still answer for a moment."""
    with connect():
        found = running(data)
        answer = health.answer

        def answers_last(sockets: Any) -> bool:
            answered = answer(sockets)
            monkeypatch.undo()
            kill(found.supervisor)
            wait_until(lambda: not state.is_supervised(data))
            return answered

        monkeypatch.setattr(health, "answer", answers_last)
        with connect() as lab:
            assert running(data).supervisor != found.supervisor
            assert wait_until(lambda: works(lab))


def test_servers_inherit_no_secrets(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may outlive the process that starts them by days."""
    secrets = {
        settings.CXONE_SECRET: "x-secret",
        settings.CXONE_CLIENT_SECRET: "y-secret",
        "AWS_SECRET_ACCESS_KEY": "z-secret",
        "DATABASE_URL": "postgres://me:p-secret@db/",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    # Without these, coverage.py sees nothing of the supervisor.
    monkeypatch.setenv("COVERAGE_PROCESS_NOTE", "measured")
    with connect():
        for pid in pids(running(data)):
            assert "secret" not in Path(f"/proc/{pid}/environ").read_text()
        supervisor = Path(f"/proc/{running(data).supervisor}/environ").read_text()
        assert "COVERAGE_PROCESS_NOTE=measured" in supervisor


@pytest.fixture
def kill_all(data: Path) -> Callable[[], None]:
    """Kill the supervisor, so that its servers end as well."""

    def killed() -> None:
        found = running(data)
        kill(found.supervisor)
        assert wait_until(lambda: not any(map(is_alive, pids(found))))

    return killed


def test_service_works_again_after_its_lab_was_killed(
    data: Path, kill_all: Callable[[], None]
) -> None:
    """Nobody restarts it, and nobody else connects."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{url}/readyz", timeout=10).status_code == 200
        return False

    with accounts_api.start("--port", str(port)) as process:
        try:
            assert wait_until(is_ready)
            created = requests.post(f"{url}/accounts", json={"id": "A"}, timeout=60)
            assert created.status_code == 201
            kill_all()
            assert wait_until(is_ready)
            assert requests.get(f"{url}/accounts/A", timeout=60).status_code == 200
        finally:
            process.terminate()
            process.communicate()


def test_projector_follows_again_after_its_lab_was_killed(
    data: Path, kill_all: Callable[[], None]
) -> None:
    name = settings.VARIABLES["Account service"][settings.COLLECTION][1]
    with command.start("project") as process:
        assert process.stderr is not None
        lines: list[str] = []
        reader = threading.Thread(target=lines.extend, args=(process.stderr,))
        reader.start()
        try:
            # Before it follows, it would end without its servers, and say so.
            assert wait_until(lambda: any(f"view {name}: active" in line for line in lines))
            before = running(data).supervisor
            kill_all()
            # Not before: connecting would start the servers, too.
            assert wait_until(lambda: running(data).supervisor != before)
            with connect() as lab:
                store = EventStore(lab.redis, CATEGORY)
                store.append("A", [Event("create", {})], expected=0)
                assert wait_until(lambda: lab.mongo[name].count_documents({"_id": "A"}))
        finally:
            process.terminate()
            reader.join()
            print(*lines)  # pytest shows them when the test fails


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 60 MB."""
    with tempfile.TemporaryDirectory(prefix="small-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.root
def test_servers_run_again_when_a_full_disk_is_freed(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = small_disk / "data"
    with connect(data) as lab:
        assert wait_until(lambda: works(lab))
        found = running(data)
        with (small_disk / "filler").open("wb") as filler, suppress(OSError):
            while True:
                filler.write(bytes(65536))
                filler.flush()

        def has_ended() -> bool:
            works(lab)
            with suppress(pymongo.errors.PyMongoError), pymongo.timeout(5):
                lab.mongo.client.admin.command("fsync")  # else it writes once a minute
            return not is_alive(found.pids["mongod"])

        assert wait_until(has_ended)  # mongod aborts when it cannot write a checkpoint
        (small_disk / "filler").unlink()
        assert wait_until(lambda: works(lab))
    starter.stop(data)
