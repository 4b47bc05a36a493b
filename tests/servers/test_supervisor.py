"""The supervisor starts, watches and stops the servers, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import redis

from eventlab import settings
from eventlab.servers import (
    Lab,
    ServersFailed,
    binaries,
    config,
    connect,
    directories,
    health,
    lock,
    process,
    starter,
    state,
)
from eventlab.servers.directories import RUNTIME_VARIABLE
from tests.support.servers import (
    is_alive,
    kill,
    pids,
    python,
    running,
)
from tests.support.waiting import wait_until


def write(lab: Lab, value: str) -> None:
    """Write to both servers, to MongoDB in a transaction."""
    lab.redis.rpush("kept", value)
    # While an fsync takes long, Redis delays what it writes to its log.
    assert lab.redis.execute_command("WAITAOF", 1, 0, 0)[0] == 1
    with lab.mongo.client.start_session() as session, session.start_transaction():
        lab.mongo.kept.insert_one({"_id": value}, session=session)


def written(lab: Lab) -> tuple[list[str], list[str]]:
    return lab.redis.lrange("kept", 0, -1), sorted(d["_id"] for d in lab.mongo.kept.find())


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_connect_starts_new_servers_when_the_supervisor_was_killed(data: Path) -> None:
    with connect() as lab:
        write(lab, "before")
        found = running(data)
        kill(found.supervisor)
        assert wait_until(lambda: not any(map(is_alive, pids(found))))
        with connect() as again:
            write(again, "after")
            assert written(again) == (["before", "after"], ["after", "before"])
            assert not {*pids(found)} & {*pids(running(data))}


@pytest.mark.parametrize("name", ["redis", "mongod"])
def test_killed_server_is_started_again_and_the_other_one_keeps_running(
    data: Path, name: str
) -> None:
    with connect() as lab:
        write(lab, "before")
        found = running(data)
        kill(found.pids[name])
        with connect() as again:  # at once: before the supervisor has seen it
            write(again, "after")
        assert wait_until(lambda: written(lab) == (["before", "after"], ["after", "before"]))
        now = wait_until(lambda: running(data) if running(data) != found else None)
        assert {server for server in found.pids if found.pids[server] != now.pids[server]} == {name}
        assert (now.supervisor, now.sockets) == (found.supervisor, found.sockets)


def test_connect_recovers_when_everything_was_killed(data: Path) -> None:
    """As after a power failure, with the disk intact: locks, sockets and state are left over."""
    with connect() as lab:
        write(lab, "before")
        found = running(data)
        os.kill(found.supervisor, signal.SIGSTOP)  # it must not clean up
        for pid in [*found.pids.values(), found.supervisor]:
            kill(pid)
        assert all(Path(path).exists() for path in found.sockets.values())
        assert (data / state.STATE).exists()
        with connect() as again:
            assert written(again) == (["before"], ["before"])


def test_process_with_a_reused_id_is_not_killed(data: Path) -> None:
    directories.prepare_data(data)
    with python("input()") as innocent:
        names = ("redis", "mongod")
        state.write(
            data,
            state.Running(
                innocent.pid, dict.fromkeys(names, innocent.pid), dict.fromkeys(names, "")
            ),
        )
        for name in names:
            (data / f"{name}.lock").write_text(str(innocent.pid))
        with connect() as lab:
            assert lab.redis.ping()
        assert innocent.poll() is None


def test_leftover_server_is_stopped_before_a_start(data: Path, tmp_path: Path) -> None:
    """macOS does not end a server with its supervisor; here a Redis stands for one."""
    directories.prepare_data(data)
    (data / "redis").mkdir()
    server = config.redis_server(binaries.find_redis(), data=data, runtime=tmp_path)
    held = lock.acquire(data / "redis.lock", timeout=1)
    with subprocess.Popen(server.argv, pass_fds=[held.fd], stdout=subprocess.DEVNULL) as leftover:
        try:
            held.note(str(leftover.pid))
            held.hand_over()
            assert wait_until(lambda: health.listens(server.socket))
            with redis.Redis(unix_socket_path=server.socket) as client:
                client.rpush("kept", "before")
            with connect() as lab:
                assert leftover.poll() is not None
                assert lab.redis.lrange("kept", 0, -1) == ["before"]
        finally:
            leftover.kill()


def test_stop_loses_no_data(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when the sockets move: the replica set then gets a new address."""
    with connect() as lab:
        for n in range(200):
            lab.redis.rpush("kept", n)
        lab.mongo.kept.insert_many({"_id": n} for n in range(200))
    starter.stop(data)
    with tempfile.TemporaryDirectory(prefix="moved-") as short:
        monkeypatch.setenv(RUNTIME_VARIABLE, short)
        with connect() as again:
            assert all(path.startswith(short) for path in running(data).sockets.values())
            assert again.redis.llen("kept") == again.mongo.kept.count_documents({}) == 200
        starter.stop(data)


def test_server_that_ends_immediately_is_reported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = script(
        tmp_path / "mongod",
        "[ $1 = --version ] && echo 'db version v6.0.5' && exit 0\necho 'a word'; exit 9",
    )
    monkeypatch.setenv(binaries.MONGOD_VARIABLE, str(broken))
    with pytest.raises(ServersFailed, match=r"(?s)mongod exited with status 9.*a word"):
        connect()
    assert wait_until(lambda: not state.is_supervised(data))
    monkeypatch.delenv(binaries.MONGOD_VARIABLE)
    with connect() as lab:
        assert lab.redis.ping()


def test_server_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('deaf', flush=True); time.sleep(600)"
    )
    log = tmp_path / "deaf.log"
    server = config.Server(
        "deaf", [sys.executable, "-c", deaf], {}, str(tmp_path / "deaf.sock"), str(log)
    )
    started = process.Process(server, tmp_path)
    assert wait_until(lambda: "deaf" in log.read_text())
    monkeypatch.setattr(process, "STOP_TIMEOUT_SECONDS", 0.5)
    process.stop_all([started])
    assert started.status() == -signal.SIGKILL


@pytest.mark.parametrize("lost", ["redis", "mongod", "directory"])
def test_server_is_started_again_when_its_socket_was_removed(data: Path, lost: str) -> None:
    """A logout or a cleaner of /tmp removes them while a kernel holds the lease."""
    with connect() as lab:
        lab.redis.set("kept", 1)
        found = running(data)
        names = found.pids.keys() if lost == "directory" else {lost}
        for name in names:
            Path(found.sockets[name]).unlink()
        if lost == "directory":
            Path(found.sockets["redis"]).parent.rmdir()
        with connect() as again:
            assert again.redis.get("kept") == "1"
            assert again.mongo.command("ping")["ok"]
        replaced = {(name, found.pids[name]) for name in names}
        assert wait_until(lambda: found.pids.items() - running(data).pids.items() == replaced)
        assert running(data).supervisor == found.supervisor


def test_broken_end_of_the_append_only_file_is_repaired_as_the_error_says(
    data: Path, tmp_path: Path
) -> None:
    with connect() as lab:
        lab.redis.set("kept", 1)
    starter.stop(data)
    [log] = (data / "redis").rglob("*.incr.aof")
    with log.open("ab") as end:
        end.write(b"no command")
    with pytest.raises(ServersFailed, match="To get redis-check-aof: ") as refused:
        connect()
    remedy = str(refused.value).rpartition("To get redis-check-aof: ")[2].replace("then ", "")
    subprocess.run(
        remedy, shell=True, cwd=tmp_path, input=b"y\n", check=True, stdout=subprocess.DEVNULL
    )
    with connect() as lab:
        assert lab.redis.get("kept") == "1"


def test_append_only_file_is_readable_by_redis_and_valkey(data: Path) -> None:
    """They do not read each other's RDB; data that begin with one are rewritten once."""
    folder = data / "redis" / "appendonlydir"

    def base() -> str:
        [found] = folder.glob("*.base.*")
        return found.suffix

    with connect() as lab:
        assert base() == ".aof"
        lab.redis.xadd("kept", {"event": "1"})
        lab.redis.config_set("aof-use-rdb-preamble", "yes")
        lab.redis.bgrewriteaof()
        assert wait_until(lambda: list(folder.glob("*.base.rdb")))
        assert wait_until(lambda: not lab.redis.info("persistence")["aof_rewrite_in_progress"])
    starter.stop(data)
    with connect() as lab:
        assert wait_until(lambda: list(folder.glob("*.base.aof")))
        assert lab.redis.xlen("kept") == 1


def test_append_only_file_of_another_kind_of_server_is_named(data: Path) -> None:
    with connect():
        pass
    starter.stop(data)
    [base] = (data / "redis").rglob("*.base.aof")
    foreign = base.with_name(base.name.replace(".aof", ".rdb"))
    base.unlink()
    foreign.write_bytes(b"REDIS9999" + bytes(64))  # a format that is not known yet
    [manifest] = (data / "redis").rglob("*.manifest")
    manifest.write_text(manifest.read_text().replace(base.name, foreign.name))
    with pytest.raises(ServersFailed, match=f"data that Valkey wrote.*{settings.REDIS_SERVER}"):
        connect()
