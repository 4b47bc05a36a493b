"""A Lab connects to a private Redis and MongoDB, which run while it is open."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from eventlab.servers import (
    Lab,
    connect,
    directories,
)
from eventlab.servers.plan import GRACE_VARIABLE
from tests.support.servers import (
    Kernel,
    is_alive,
    is_gone,
    kill,
    listening_ports,
    listening_sockets,
    pids,
    running,
)
from tests.support.waiting import stays, wait_until

LONGER = 1.0  # than the grace time and the supervisor's check interval


CONNECT = """
from eventlab.servers import connect
lab = connect()
print(lab.redis.info("server")["process_id"], lab.mongo.command("serverStatus")["pid"], flush=True)
"""


def session_data() -> Path:
    return directories.data_directory()


def written(lab: Lab) -> tuple[list[str], list[str]]:
    return lab.redis.lrange("kept", 0, -1), sorted(d["_id"] for d in lab.mongo.kept.find())


def test_lab_connects_to_both_servers(lab: Lab) -> None:
    assert lab.redis.ping() is True
    assert isinstance(lab.redis.echo("text"), str)
    assert lab.mongo.name == "eventlab"
    assert lab.mongo.command("hello")["isWritablePrimary"] is True


def test_redis_client_uses_hiredis(lab: Lab) -> None:
    connection = lab.redis.connection_pool.get_connection()
    try:
        assert "Hiredis" in type(connection._parser).__name__
    finally:
        lab.redis.connection_pool.release(connection)


def test_connect_returns_the_running_servers(lab: Lab) -> None:
    before = running(session_data())
    with connect() as second:
        assert second.redis.info("server")["process_id"] == before.pids["redis"]
        assert second.mongo.command("serverStatus")["pid"] == before.pids["mongod"]
    assert running(session_data()) == before


def test_lab_describes_itself_in_the_same_words_everywhere(lab: Lab) -> None:
    assert (
        repr(lab)
        == "Lab(Redis: running (private), MongoDB: running (private, a replica set of one))"
    )
    html = lab._repr_html_()
    assert "running (private, a replica set of one)" in html
    assert not [c for c in html if c.isdigit()]


def test_mongodb_supports_change_streams(lab: Lab, category: str) -> None:
    with lab.mongo[category].watch() as changes:
        lab.mongo[category].insert_one({"_id": 1})
        assert next(changes)["fullDocument"] == {"_id": 1}


def test_servers_outlive_a_restarted_and_a_killed_kernel(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the default grace time."""
    monkeypatch.delenv(GRACE_VARIABLE)
    with Kernel() as first, Kernel() as second:
        cells = [kernel.begin(CONNECT) for kernel in (first, second)]
        answers = {kernel.end(cell) for kernel, cell in zip((first, second), cells, strict=True)}
        found = running(data)
        assert answers == {f"{found.pids['redis']} {found.pids['mongod']}"}

        for kernel in (first, second):  # one of them has started the servers
            cell = kernel.begin("import time\nprint('on', flush=True)\ntime.sleep(60)")
            assert kernel.wait_for_output(cell).strip() == "on"
            assert kernel.interrupt_until_it_ends(cell) == "KeyboardInterrupt"
        assert first.run(
            "print(lab.redis.rpush('kept', 'first'), "
            "lab.mongo.kept.insert_one({'_id': 'first'}) is None)"
        )

        first.restart()
        assert {first.run(CONNECT)} == answers

        kill(first.pid)
        assert second.run("print(lab.redis.ping(), lab.mongo.command('ping')['ok'])") == "True 1.0"
        assert all(map(is_alive, pids(found)))

        kill(second.pid)
        assert wait_until(lambda: is_gone(found))
    with connect() as lab:
        assert written(lab) == (["first"], ["first"])


def test_servers_run_while_a_lab_is_open(data: Path) -> None:
    one, other = connect(), connect()
    found = running(data)
    one.close()
    one.close()  # counts once
    assert stays(lambda: all(map(is_alive, pids(found))), LONGER)
    assert other.redis.ping()
    other.close()
    assert wait_until(lambda: is_gone(found))
    assert (
        repr(other)
        == "Lab(Redis: stopped: call connect() again, MongoDB: stopped: call connect() again)"
    )


def test_servers_listen_on_no_tcp_port() -> None:
    ours = pids(running(session_data()))
    assert listening_ports(ours) == []
    with socket.create_server(("127.0.0.1", 0)):
        assert len(listening_ports([*ours, os.getpid()])) == 1  # it would be seen


def test_two_data_directories_have_separate_servers(lab: Lab, data: Path) -> None:
    with connect(data) as other:
        other.redis.set("only_here", 1)
        assert lab.redis.get("only_here") is None


def test_empty_lab_is_small_and_has_two_sockets(data: Path) -> None:
    """By default, mongod creates a journal of 300 MB and a second socket in the temp directory."""
    with connect():
        assert (
            sum(path.stat().st_size for path in (data / "mongod" / "journal").iterdir())
            < 10_000_000
        )
        mongod = running(data).pids["mongod"]
        assert listening_sockets(mongod) == [running(data).sockets["mongod"]]
        homes = {Path(path).parent for path in running(data).sockets.values()}
        assert [sorted(path.name for path in home.glob("*.sock")) for home in homes] == [
            ["mongod.sock", "redis.sock"]
        ]
