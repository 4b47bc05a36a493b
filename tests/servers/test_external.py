"""Servers of the user are named by URLs."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
import redis

from eventlab.servers import (
    Lab,
    ServersFailed,
    ServerUnreachable,
    binaries,
    connect,
    directories,
    external,
    health,
    replica_set,
)
from tests.support.servers import (
    running,
)
from tests.support.waiting import wait_until


def session_data() -> Path:
    return directories.data_directory()


def url_of_session_redis() -> str:
    return f"unix://{running(session_data()).sockets['redis']}"


def url_of(lab: Lab) -> str:
    return f"unix://{lab.redis.connection_pool.connection_kwargs['path']}"


def test_servers_of_the_urls_are_used(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, category: str
) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of_session_redis())
    monkeypatch.setenv(
        external.MONGODB_URL, replica_set.socket_url(running(session_data()).sockets["mongod"])
    )
    with connect(tmp_path / "unused") as mine:
        mine.redis.set(category, "x")
        mine.mongo[category].insert_one({"_id": 1})
        assert repr(mine) == "Lab(Redis: your own, MongoDB: your own)"
    assert lab.redis.get(category) == "x"
    assert lab.mongo[category].count_documents({}) == 1
    assert not (tmp_path / "unused").exists()


def test_one_url_leaves_the_other_server_private(
    data: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"unix://{lab.redis.connection_pool.connection_kwargs['path']}"
    monkeypatch.setenv(external.REDIS_URL, url)
    with connect() as mixed:
        assert set(running(data).pids) == {"mongod"}
        assert mixed.redis.ping()
        assert (
            repr(mixed) == "Lab(Redis: your own, MongoDB: running (private, a replica set of one))"
        )
        monkeypatch.delenv(external.REDIS_URL)
        with pytest.raises(ServersFailed, match=external.REDIS_URL):
            connect()


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        (external.REDIS_URL, "unix:///nowhere/redis.sock"),
        (external.REDIS_URL, "no url"),
        (external.MONGODB_URL, "mongodb://%2Fnowhere%2Fmongod.sock/?serverSelectionTimeoutMS=100"),
        (external.MONGODB_URL, "mongodb://"),
    ],
)
def test_url_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of_session_redis())
    monkeypatch.setenv(variable, url)
    with pytest.raises(ServerUnreachable, match=variable):
        connect()
    assert running(session_data())


def test_standalone_mongod_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mongod, home = (
        binaries.find_mongod(tmp_path),
        Path(running(session_data()).sockets["mongod"]).parent,
    )
    alone = home / "alone.sock"
    command = [mongod.path, "--dbpath", tmp_path, "--bind_ip", alone, "--nounixsocket"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=os.environ | dict(mongod.env)
    ) as process:
        try:
            assert wait_until(lambda: health.listens(str(alone)))
            monkeypatch.setenv(external.MONGODB_URL, replica_set.socket_url(str(alone)))
            with pytest.raises(ServerUnreachable, match="replica set"):
                connect()
        finally:
            process.terminate()


def test_url_of_a_cluster_node_connects_to_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1] % 10000 + 20000  # its bus listens 10000 above
    command = [
        binaries.find_redis().path,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        tmp_path,
        "--save",
        "",
    ]
    with subprocess.Popen(
        [*command, "--cluster-enabled", "yes"], stdout=subprocess.DEVNULL
    ) as process:
        try:
            with redis.Redis(port=port, host="127.0.0.1") as node:
                assert wait_until(node.ping)
                node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                assert wait_until(lambda: node.cluster("info")["cluster_state"] == "ok")
            monkeypatch.setenv(external.REDIS_URL, f"redis://127.0.0.1:{port}")
            with connect() as lab:
                assert isinstance(lab.redis, redis.RedisCluster)
                assert lab.redis.set("x", "text")
                assert lab.redis.get("x") == "text"
        finally:
            process.terminate()


def test_url_of_an_old_redis_is_rejected(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 7.0, XADD accepts no partial position: only the first event of a batch is stored."""
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    monkeypatch.setattr(binaries, "OLDEST_REDIS", (99, 0))
    with pytest.raises(ServerUnreachable, match=r"older than"):
        connect()


def test_lab_shows_which_server_is_private(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    with connect() as mixed:
        assert (
            repr(mixed) == "Lab(Redis: your own, MongoDB: running (private, a replica set of one))"
        )


@pytest.mark.parametrize(
    "url", ["redis://:pass/word@127.0.0.1:1", "redis://me:pass#word@127.0.0.1:1"]
)
def test_error_contains_no_part_of_a_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(external.REDIS_URL, url)
    with pytest.raises(ServerUnreachable, match=external.REDIS_URL) as refused:
        connect()
    assert "pass" not in str(refused.value).replace("password", "")
    assert refused.value.__cause__ is None


def test_missing_certificate_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    monkeypatch.setenv(
        external.MONGODB_URL, "mongodb://127.0.0.1:1/?tls=true&tlsCAFile=/nowhere/ca.pem"
    )
    with pytest.raises(ServerUnreachable, match=external.MONGODB_URL):
        connect()


def test_redis_with_a_password_is_used(
    tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(url_of(lab).removeprefix("unix://")).parent / "other.sock"
    command = [
        binaries.find_redis().path,
        "--port",
        "0",
        "--unixsocket",
        home,
        "--save",
        "",
        "--requirepass",
        "secret",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(unix_socket_path=str(home), password="secret") as client:
                assert wait_until(lambda: home.exists() and client.ping())
            monkeypatch.setenv(external.REDIS_URL, f"unix://:secret@{home}")
            with connect() as mine:
                assert mine.redis.ping()
            monkeypatch.setenv(external.REDIS_URL, f"unix://:wrong@{home}")
            with pytest.raises(ServerUnreachable, match="password"):
                connect()
        finally:
            process.terminate()
