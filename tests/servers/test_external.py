"""Servers of the user are named by URLs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import redis

from eventlab import settings
from eventlab.cli import checks
from eventlab.lessons.ports import free_port
from eventlab.servers import (
    Lab,
    ServersFailed,
    ServerUnreachable,
    binaries,
    connect,
    directories,
    external,
    health,
    redis_url,
    replica_set,
)
from tests.support.cluster import cluster
from tests.support.own_redis import redis_process, sentinel_process, tls_tunnel
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


def test_url_of_cluster_nodes_connects_to_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that is down does not matter."""
    with cluster(tmp_path) as nodes:
        ports = [node.port for node in nodes.get_primaries()]
        for hosts in (f"127.0.0.1:{ports[1]}", f"127.0.0.1:{free_port()},127.0.0.1:{ports[2]}"):
            monkeypatch.setenv(external.REDIS_URL, f"redis://{hosts}/0")
            with connect() as lab:
                assert isinstance(lab.redis, redis.RedisCluster)
                assert lab.redis.set("x", "text")
                assert lab.redis.get("x") == "text"
        with connect(timeout=3) as limited:
            assert isinstance(limited.redis, redis.RedisCluster)
            # Those of a node that is found later are made with these.
            assert limited.redis.nodes_manager.connection_kwargs["socket_timeout"] == 3
            for node in limited.redis.get_primaries():
                pool = limited.redis.get_redis_connection(node).connection_pool
                connection = pool.get_connection()  # one that was used, or a new one
                assert (connection.socket_timeout, connection.socket_connect_timeout) == (3, 3)
                pool.release(connection)


def test_several_hosts_that_are_no_cluster_are_rejected(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_process(tmp_path) as port:
        monkeypatch.setenv(external.REDIS_URL, f"redis://127.0.0.1:{port},127.0.0.1:{port}")
        with pytest.raises(ServerUnreachable, match="not a cluster"):
            connect()


def test_url_of_sentinels_connects_to_their_master_also_after_a_failover(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        ports = [
            stack.enter_context(redis_process(folder(tmp_path, name), "--requirepass", "s@/c"))
            for name in ("first", "second")
        ]
        master, replica = (
            stack.enter_context(redis.Redis("127.0.0.1", port, password="s@/c")) for port in ports
        )
        for client in (master, replica):
            client.config_set("masterauth", "s@/c")
        replica.replicaof("127.0.0.1", ports[0])
        assert wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
        sentinels = [
            stack.enter_context(
                sentinel_process(folder(tmp_path, f"s{n}"), ports[0], "s@/c", down_after_ms=600_000)
            )
            for n in range(3)
        ]
        hosts = ",".join(f"127.0.0.1:{port}" for port in [free_port(), *sentinels])
        url = f"redis+sentinel://:s%40%2Fc@{hosts}"
        monkeypatch.setenv(external.REDIS_URL, f"{url}/other")
        with pytest.raises(ServerUnreachable, match="other"):
            connect()
        monkeypatch.setenv(external.REDIS_URL, f"{url}/mymaster/1?socket_timeout=3")
        with connect() as mine:
            mine.redis.set("x", "before")
            assert mine.redis.info("server")["tcp_port"] == ports[0]
            assert redis_of(ports[0], "s@/c", 1).get("x") == b"before"
            with redis.Redis("127.0.0.1", sentinels[0]) as sentinel:
                wait_until(lambda: sentinel.sentinel_slaves("mymaster"))
                wait_until(lambda: promotes(sentinel))

            def is_promoted() -> bool:
                with suppress(redis.RedisError):
                    return bool(mine.redis.set("x", "after")) and (
                        mine.redis.info("server")["tcp_port"] == ports[1]
                    )
                return False

            assert wait_until(is_promoted)


def test_url_with_tls_is_used(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled Redis has no TLS: a tunnel in front of it has."""
    with redis_process(tmp_path) as plain, tls_tunnel(tmp_path, plain) as (port, certificate):
        url = f"rediss://127.0.0.1:{port}/0"
        monkeypatch.setenv(external.REDIS_URL, f"{url}?ssl_ca_certs={certificate}")
        with connect() as mine:
            assert mine.redis.ping()
        monkeypatch.setenv(external.REDIS_URL, url)
        with pytest.raises(ServerUnreachable, match="certificate verify failed"):
            connect()


def test_url_of_sentinels_with_tls_uses_it_for_them_and_for_the_master(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        master = stack.enter_context(redis_process(folder(tmp_path, "master")))
        port, trusted = stack.enter_context(tls_tunnel(folder(tmp_path, "master tls"), master))
        # It names the port that has TLS, and cannot reach the master there itself.
        sentinel = stack.enter_context(
            sentinel_process(folder(tmp_path, "sentinel"), port, "x", down_after_ms=600_000)
        )
        front, also = stack.enter_context(tls_tunnel(folder(tmp_path, "tls"), sentinel))
        both = tmp_path / "both.pem"
        both.write_text(trusted.read_text() + also.read_text())
        url = f"rediss+sentinel://127.0.0.1:{front}/mymaster/0?ssl_ca_certs="
        monkeypatch.setenv(external.REDIS_URL, f"{url}{both}")
        with connect() as mine:
            assert mine.redis.set("x", "text")
            assert redis_of(master).get("x") == b"text"
        for one in (trusted, also):  # a certificate of either is checked
            monkeypatch.setenv(external.REDIS_URL, f"{url}{one}")
            with pytest.raises(ServerUnreachable):
                connect()


def test_every_primary_of_a_cluster_is_examined(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path) as nodes:
        primaries = nodes.get_primaries()
        monkeypatch.setenv(external.REDIS_URL, f"redis://127.0.0.1:{primaries[0].port}")
        for node in primaries:
            client = redis_of(node.port)
            client.config_set("maxmemory", "50mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
            with pytest.raises(ServerUnreachable, match="allkeys-lru"):
                connect()
            monkeypatch.setenv(settings.ALLOW_EVICTION, "1")
            with connect() as mine:
                found = [each["maxmemory_policy"] for each in checks._infos(mine, "memory")]
                assert sorted(found) == ["allkeys-lru", "noeviction", "noeviction"]
            monkeypatch.delenv(settings.ALLOW_EVICTION)
            client.config_set("maxmemory-policy", "noeviction")
        with connect():
            pass


def test_user_without_info_is_accepted(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_process(tmp_path) as port:
        redis_of(port).execute_command(
            "ACL SETUSER app on >pw ~accountStream* ~{accountStream}* +@all -@dangerous"
        )
        monkeypatch.setenv(external.REDIS_URL, f"redis://app:pw@127.0.0.1:{port}")
        with connect() as mine:
            assert mine.redis.ping()
        monkeypatch.setattr(binaries, "OLDEST_REDIS", (99, 0))
        with pytest.raises(ServerUnreachable, match=r"older than"):
            connect()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_redis_that_deletes_keys_is_rejected_unless_it_is_allowed(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    with redis_process(tmp_path, "--maxmemory-policy", policy) as port:
        monkeypatch.setenv(external.REDIS_URL, f"redis://127.0.0.1:{port}")
        with connect() as mine:  # without a limit it deletes nothing
            mine.redis.config_set("maxmemory", "50mb")
        with pytest.raises(ServerUnreachable, match=rf"{policy}.*{settings.ALLOW_EVICTION}"):
            connect()
        monkeypatch.setenv(settings.ALLOW_EVICTION, "1")
        with connect() as mine:
            assert mine.redis.ping()


def test_replica_without_append_only_file_is_logged(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_process(tmp_path) as port:
        redis_of(port).replicaof("127.0.0.1", 9)
        monkeypatch.setenv(external.REDIS_URL, f"redis://127.0.0.1:{port}")
        with connect():
            pass
    said = [record.message for record in caplog.records if record.name == external.__name__]
    assert ["replica" in said[0], "append-only file" in said[1]] == [True, True]


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
    "url",
    [
        "redis://:pass/word@127.0.0.1:1",
        "redis://me:pass#word@127.0.0.1:1",
        "redis://me:pass?word@127.0.0.1:1",
        "redis://:12/word@127.0.0.1:1",
        "redis://:p@word/word@127.0.0.1:1",
        "redis://:p@word:word@127.0.0.1:1",
        "redis://:[word@127.0.0.1:1",
        "redis://127.0.0.1:1,word:word@127.0.0.1:1,127.0.0.1:word",
        "rediss://:12/word@127.0.0.1:1",
        "redis+sentinel://:12/word@127.0.0.1:1/mymaster",
        "redis+sentinel://:word@127.0.0.1:1",
        "unix://:12/word@/nowhere",
        "word:word@127.0.0.1",
        "word",
        "redis://:word@127.0.0.1:1",
        "redis://:word@127.0.0.1:1?socket_timeout=word",
        "redis://:word@127.0.0.1:1?colour=blue",
        "redis://:word@127.0.0.1:1,127.0.0.1:2",
        "redis+sentinel://:word@127.0.0.1:1/mymaster",
    ],
)
def test_error_contains_no_part_of_a_password(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv(external.REDIS_URL, url)
    with pytest.raises(ServerUnreachable, match=external.REDIS_URL) as refused:
        connect()
    told = "".join(traceback.format_exception(refused.value)).replace("password", "")
    assert "word" not in str(refused.value).replace("password", "")
    assert url not in told


@pytest.mark.parametrize("sign", "/?#")
def test_password_that_begins_like_a_port_is_not_taken_for_one(sign: str) -> None:
    with pytest.raises(redis_url.InvalidURL, match="percent-encode"):
        redis_url.parse(f"redis://me:12{sign}word@127.0.0.1:1")


@pytest.mark.parametrize(
    "url", ["mongodb://me:12/word@127.0.0.1:1", "mongodb://me:wo@word/x@127.0.0.1:1/db"]
)
def test_error_contains_no_part_of_a_password_of_mongodb(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    monkeypatch.setenv(external.MONGODB_URL, url)
    with pytest.raises(ServerUnreachable, match="percent-encode") as refused:
        connect()
    assert "word" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize(
    ("variable", "url", "reason"),
    [
        (external.REDIS_URL, "redis://127.0.0.1:1", "Connection refused"),
        (external.REDIS_URL, "redis://127.0.0.1:1?colour=blue", "unknown URL option 'colour'"),
        (external.REDIS_URL, "redis://127.0.0.1:1?socket_timeout=soon", "'socket_timeout'"),
        (external.REDIS_URL, "redis+sentinel://127.0.0.1:1", "names its master"),
        (external.REDIS_URL, "redis://127.0.0.1:port", "port is not valid: correct it"),
        (external.REDIS_URL, "http://127.0.0.1:1", "rediss://, unix://"),
        (
            external.MONGODB_URL,
            "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100",
            "Connection refused",
        ),
    ],
)
def test_error_names_the_cause_without_a_dump_of_the_driver(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, variable: str, url: str, reason: str
) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    monkeypatch.setenv(variable, url)
    with pytest.raises(ServerUnreachable, match=reason) as refused:
        connect()
    assert len(str(refused.value)) < 200
    assert not re.search("Topology|timeouts|full error|<", str(refused.value))


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
    with redis_process(tmp_path, "--requirepass", "secret") as port:
        monkeypatch.setenv(external.REDIS_URL, f"redis://:secret@127.0.0.1:{port}")
        with connect() as mine:
            assert mine.redis.ping()
        monkeypatch.setenv(external.REDIS_URL, f"redis://:wrong@127.0.0.1:{port}")
        with pytest.raises(ServerUnreachable, match="the password is wrong"):
            connect()
        monkeypatch.setenv(external.REDIS_URL, f"redis://127.0.0.1:{port}")
        with pytest.raises(ServerUnreachable, match="requires a password"):
            connect()


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "redis_is"), [(["--own-servers"], "your own"), ([], "running (private)")]
)
def test_suite_runs_on_your_own_servers_only_if_asked(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], redis_is: str
) -> None:
    probe = tmp_path / "test_probe.py"
    probe.write_text(f"def test_it(lab):\n    assert 'Redis: {redis_is}' in repr(lab)\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", tmp_path / "pytest.ini", *options, probe],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def folder(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path


def redis_of(port: int, password: str | None = None, db: int = 0) -> redis.Redis:
    return redis.Redis("127.0.0.1", port, password=password, db=db)


def promotes(sentinel: redis.Redis) -> bool:
    """Ask for a failover; it is refused while the replica is not known well enough."""
    with suppress(redis.ResponseError):
        return bool(sentinel.execute_command("SENTINEL FAILOVER", "mymaster"))
    return False
