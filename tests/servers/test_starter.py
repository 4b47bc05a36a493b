"""Servers are started once, however many processes connect."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlab import settings
from eventlab.servers import (
    Lab,
    ServersFailed,
    binaries,
    connect,
    directories,
    starter,
    state,
)
from eventlab.servers.directories import ID_FILE
from eventlab.servers.plan import GRACE_VARIABLE, Plan
from tests.support.servers import (
    is_alive,
    line_of,
    pids,
    python,
    running,
)
from tests.support.waiting import wait_until

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


HELD_BACK = """#!/bin/sh
case "$1" in *version*) ;; *) while [ ! -e "{go}" ]; do sleep 0.05; done ;; esac
exec "{redis}" "$@"
"""


def test_simultaneous_starts_share_one_pair(data: Path) -> None:
    code = "import sys; sys.stdin.readline()" + CONNECT_AND_WAIT
    with python(code) as a, python(code) as b, python(code) as c, python(code) as d:
        together = (a, b, c, d)
        for process in together:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert len({line_of(process) for process in together}) == 1
        assert all(map(is_alive, pids(running(data))))


def test_servers_of_a_killed_starter_are_usable(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first starter is killed while Redis is held back; the second one uses it."""
    go = tmp_path / "go"
    program = tmp_path / "redis-server"
    program.write_text(HELD_BACK.format(go=go, redis=binaries.find_redis().path))
    program.chmod(0o755)
    monkeypatch.setenv(settings.REDIS_SERVER, str(program))
    with python(CONNECT_AND_WAIT) as first:
        # is_supervised creates a file, and the first starter rejects a directory that has files but
        # no id file.
        wait_until(lambda: (data / ID_FILE).exists() and state.is_supervised(data))
        assert state.read(data) is None  # still starting: Redis is held back
        first.kill()
        go.touch()
        with connect() as lab:
            assert lab.redis.ping()


def test_second_of_two_first_starts_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one creates the directory and its locks between two checks of this one."""
    data = tmp_path / "data"
    plain = Path.exists

    def overtaken(self: Path) -> bool:
        found = plain(self)
        if self.name == ID_FILE and not found:
            monkeypatch.undo()
            directories.prepare_data(data)
            (data / starter.START_LOCK).touch()
        return found

    monkeypatch.setattr(Path, "exists", overtaken)
    directories.prepare_data(data)
    assert {path.name for path in data.iterdir()} == {ID_FILE, starter.START_LOCK}


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "1e999", "-1"])
def test_grace_time_that_cannot_be_used_is_named(
    data: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(GRACE_VARIABLE, text)
    with pytest.raises(ServersFailed, match=f"{GRACE_VARIABLE}='{text}'"):
        connect()


def test_supervisor_runs_no_module_of_the_working_directory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It imports all that it needs, and then rejects the plan: no server is started."""
    (tmp_path / "pymongo.py").write_text("open('was_run', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    directories.prepare_data(data)
    monkeypatch.setattr(Plan, "to_json", lambda _: "no plan")
    with pytest.raises(ServersFailed, match="JSONDecodeError"):
        starter._started(data, ())
    assert not (tmp_path / "was_run").exists()
