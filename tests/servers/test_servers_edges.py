"""Unusual directories, passwords, old servers and lost sockets each have a clear outcome."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from eventlab.cli import doctor
from eventlab.cli import main as cli
from eventlab.cli.lab import FIRST_PAGE
from eventlab.servers import (
    DirectoryRefused,
    Lab,
    ServersFailed,
    ServerUnreachable,
    binaries,
    config,
    connect,
    directories,
    external,
    process,
    starter,
)
from eventlab.servers.directories import DATA_VARIABLE, MARK, RUNTIME_VARIABLE
from eventlab.servers.plan import GRACE_VARIABLE
from tests.support.servers import is_alive, listening_sockets, pids, running
from tests.support.waiting import PATIENCE_SECONDS, wait_until


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory of the test's own, with servers that do not linger."""
    directory = tmp_path / "data"
    monkeypatch.setenv(DATA_VARIABLE, str(directory))
    monkeypatch.setenv(GRACE_VARIABLE, "0.3")
    yield directory
    if directory.is_dir():
        starter.stop(directory)


# -------------------------------------------------------------------------------------- directories


def test_of_two_first_starts_the_second_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one makes the directory, and its locks, between two looks of this one."""
    data = tmp_path / "data"
    plain = Path.exists

    def overtaken(self: Path) -> bool:
        found = plain(self)
        if self.name == MARK and not found:
            monkeypatch.undo()
            directories.prepare_data(data)
            (data / starter.START_LOCK).touch()
        return found

    monkeypatch.setattr(Path, "exists", overtaken)
    directories.prepare_data(data)
    assert {path.name for path in data.iterdir()} == {MARK, starter.START_LOCK}


@pytest.mark.parametrize("path", ["letter.txt", "letter.txt/below", "x" * 300])
@pytest.mark.parametrize("variable", [DATA_VARIABLE, RUNTIME_VARIABLE])
def test_a_directory_that_cannot_be_made_is_named_with_the_variable(
    data: Path, monkeypatch: pytest.MonkeyPatch, path: str, variable: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="short-") as short:
        (Path(short) / "letter.txt").touch()
        monkeypatch.setenv(variable, str(Path(short) / path))
        with pytest.raises(DirectoryRefused, match=variable):
            connect()


def test_a_user_without_a_home_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, "~nobody-of-this-name/data")
    with pytest.raises(DirectoryRefused, match=DATA_VARIABLE):
        connect()
    assert cli.main(["doctor"]) == 1
    assert DATA_VARIABLE in capsys.readouterr().out
    assert cli.main(["project", "--status"]) == 1
    assert cli.main(["project", "--status", "--data", "~nobody-of-this-name"]) == 1


def test_the_command_line_names_a_directory_that_is_a_file(tmp_path: Path, data: Path) -> None:
    (tmp_path / "letter.txt").touch()
    command = [
        sys.executable,
        "-m",
        "eventlab",
        "project",
        "--status",
        "--data",
        str(tmp_path / "letter.txt"),
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("eventlab: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sign", ":,")
def test_a_socket_path_that_mongod_would_split_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    with tempfile.TemporaryDirectory(prefix=f"odd{sign}") as odd:
        monkeypatch.setenv(RUNTIME_VARIABLE, odd)
        with pytest.raises(DirectoryRefused, match=r"colon.*" + RUNTIME_VARIABLE):
            connect()


def test_an_empty_lab_is_small_and_has_two_sockets(data: Path) -> None:
    """mongod alone would begin with a journal of 300 MB, and put a second socket into the temp
    directory.
    """
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


def test_a_grace_time_that_is_no_number_is_named(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GRACE_VARIABLE, "soon")
    with pytest.raises(ServersFailed, match=f"{GRACE_VARIABLE}='soon'"):
        connect()


# --------------------------------------------------------------------------------- lives and deaths


def test_a_server_that_hears_no_sigterm_is_killed(
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


@pytest.mark.parametrize("lost", ["redis", "mongod", "both"])
def test_servers_whose_sockets_were_taken_away_are_started_anew(data: Path, lost: str) -> None:
    """As a logout does with the session's directory, and a cleaner with /tmp; a kernel holds the
    lease all the time.
    """
    with connect() as lab:
        lab.redis.set("kept", 1)
        found = running(data)
        for name, path in found.sockets.items():
            if lost in (name, "both"):
                Path(path).unlink()
        with connect() as again:
            assert again.redis.get("kept") == "1"
            assert again.mongo.command("ping")["ok"]
            assert not {*pids(found)} & {*pids(running(data))}
        assert wait_until(lambda: not any(map(is_alive, pids(found))))


def test_a_broken_end_of_the_log_is_mended_as_the_error_says(data: Path, tmp_path: Path) -> None:
    with connect() as lab:
        lab.redis.set("kept", 1)
    starter.stop(data)
    [log] = (data / "redis").rglob("*.incr.aof")
    with log.open("ab") as end:
        end.write(b"no command")
    with pytest.raises(ServersFailed, match="To get that program: ") as refused:
        connect()
    remedy = str(refused.value).rpartition("To get that program: ")[2].replace("then ", "")
    subprocess.run(
        remedy, shell=True, cwd=tmp_path, input=b"y\n", check=True, stdout=subprocess.DEVNULL
    )
    with connect() as lab:
        assert lab.redis.get("kept") == "1"


# ----------------------------------------------------------------------------- servers of one's own


def url_of(lab: Lab) -> str:
    return f"unix://{lab.redis.connection_pool.connection_kwargs['path']}"


def test_an_own_redis_that_is_too_old_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 7.0 there is no XADD with half a position: of a batch the first event would be stored
    alone.
    """
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    monkeypatch.setattr(binaries, "OLDEST_REDIS", (99, 0))
    with pytest.raises(ServerUnreachable, match=r"older than"):
        connect()


def test_beside_private_ones_an_own_server_is_called_one_s_own(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    with connect() as mixed:
        assert (
            repr(mixed) == "Lab(Redis: your own, MongoDB: running (private, a replica set of one))"
        )


@pytest.mark.parametrize(
    "url", ["redis://:pass/word@127.0.0.1:1", "redis://me:pass#word@127.0.0.1:1"]
)
def test_no_part_of_a_password_is_in_the_error(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(external.REDIS_URL, url)
    with pytest.raises(ServerUnreachable, match=external.REDIS_URL) as refused:
        connect()
    assert "pass" not in str(refused.value).replace("password", "")
    assert refused.value.__cause__ is None


def test_a_certificate_that_is_not_there_is_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(external.REDIS_URL, url_of(lab))
    monkeypatch.setenv(
        external.MONGODB_URL, "mongodb://127.0.0.1:1/?tls=true&tlsCAFile=/nowhere/ca.pem"
    )
    with pytest.raises(ServerUnreachable, match=external.MONGODB_URL):
        connect()


def test_a_redis_with_a_password_is_used(
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


# ------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    "error", ["ValueError('numpy.dtype size changed')", "OSError('libX.so')", "ImportError('no')"]
)
def test_a_package_that_does_not_import_fails_and_the_rest_is_examined(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    (tmp_path / "ill_package.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(doctor.PACKAGES, "lab", ("ill_package",))
    checks = doctor.examine()
    [failed] = [check for check in checks if not check.ok]
    assert failed.name == "ill_package"
    assert "pip install" in failed.remedy
    assert checks[-1].name == "MongoDB transaction"


@pytest.mark.parametrize("port", ["99999", "-1", "0", "x"])
def test_a_port_that_is_none_is_refused_at_once(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["lab", "--port", port])
    assert "--port" in capsys.readouterr().err


def test_lab_does_not_take_another_port_than_the_one_asked_for(tmp_path: Path, lab: Lab) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / FIRST_PAGE).touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "eventlab", "lab", "--no-browser", "--port", str(port)]
        with subprocess.Popen(
            command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ
        ) as process:
            try:
                _, said = process.communicate(timeout=PATIENCE_SECONDS)
            finally:
                process.kill()
    assert process.returncode == 1
    assert f"port {port} is already in use" in said
