"""Directories are private and short enough for sockets; unusable ones are rejected by name."""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from eventlab.cli import main as cli
from eventlab.servers import (
    DirectoryRefused,
    Lab,
    connect,
    directories,
    starter,
)
from eventlab.servers.directories import DATA_VARIABLE, RUNTIME_VARIABLE
from tests.support.servers import (
    is_gone,
    running,
)
from tests.support.waiting import wait_until

NOBODY = 65534


def session_data() -> Path:
    return directories.data_directory()


def write(lab: Lab, value: str) -> None:
    """Write to both servers, to MongoDB in a transaction."""
    lab.redis.rpush("kept", value)
    with lab.mongo.client.start_session() as session, session.start_transaction():
        lab.mongo.kept.insert_one({"_id": value}, session=session)


def written(lab: Lab) -> tuple[list[str], list[str]]:
    return lab.redis.lrange("kept", 0, -1), sorted(d["_id"] for d in lab.mongo.kept.find())


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


def test_deleted_data_directory_can_be_created_again_immediately(data: Path) -> None:
    with connect() as lab:
        write(lab, "old")
        found = running(data)
        # Delete until it is gone, as a user would: mongod writes new files meanwhile.
        assert wait_until(lambda: shutil.rmtree(data, ignore_errors=True) or not data.exists())
        with connect() as again:
            assert written(again) == ([], [])
            assert wait_until(lambda: is_gone(found))
            assert again.redis.ping()
            write(again, "new")


def test_files_are_closed_to_other_users() -> None:
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


@pytest.mark.root
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_other_user_cannot_connect(mode: int) -> None:
    """By the directory's mode, and by the sockets' mode if the directory is opened."""
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


def test_open_directory_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    directories.prepare_data(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_directory_with_other_files_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(DirectoryRefused, match=DATA_VARIABLE):
        connect(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_link_in_place_of_the_socket_directory_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(DirectoryRefused, match="link"):
        directories.prepare_runtime(tmp_path / "link")


ONE_VARIABLE = [
    (directories.prepare_data, DATA_VARIABLE, RUNTIME_VARIABLE),
    (directories.prepare_runtime, RUNTIME_VARIABLE, DATA_VARIABLE),
]


@pytest.mark.root
@pytest.mark.parametrize(("prepare", "named", "other"), ONE_VARIABLE)
def test_directory_of_another_user_is_rejected_and_names_its_variable(
    tmp_path: Path, prepare: Callable[[Path], None], named: str, other: str
) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    with pytest.raises(DirectoryRefused, match="belongs to another user") as refused:
        prepare(tmp_path)
    assert named in str(refused.value)
    assert other not in str(refused.value)


@pytest.mark.root
def test_session_directory_of_another_user_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After su or sudo, the variable may still name it."""
    directories.prepare_data(tmp_path / "data")
    with tempfile.TemporaryDirectory(prefix="session-", dir="/tmp") as session:  # a short path
        monkeypatch.setenv("XDG_RUNTIME_DIR", session)
        assert directories.runtime_directory(tmp_path / "data").is_relative_to(session)
        os.chown(session, NOBODY, NOBODY)
        assert not directories.runtime_directory(tmp_path / "data").is_relative_to(session)


def test_long_data_path_has_short_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    data = tmp_path.joinpath(*["long" * 10] * 5)
    directories.prepare_data(data)
    runtime = directories.runtime_directory(data)
    assert len(str(runtime / "mongod.sock")) <= directories.MAX_SOCKET_PATH_BYTES
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert not directories.runtime_directory(data).is_relative_to(long)


def test_path_too_long_for_sockets_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories.prepare_data(tmp_path)
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path / ("x" * 100)))
    with pytest.raises(DirectoryRefused, match=RUNTIME_VARIABLE):
        directories.runtime_directory(tmp_path)


@pytest.mark.parametrize("path", ["letter.txt", "letter.txt/below", "x" * 300])
@pytest.mark.parametrize("variable", [DATA_VARIABLE, RUNTIME_VARIABLE])
def test_directory_that_cannot_be_created_is_named_with_its_variable(
    data: Path, monkeypatch: pytest.MonkeyPatch, path: str, variable: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="short-") as short:
        (Path(short) / "letter.txt").touch()
        monkeypatch.setenv(variable, str(Path(short) / path))
        with pytest.raises(DirectoryRefused, match=variable):
            connect()


def test_missing_home_directory_names_the_variable_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, "~nobody-of-this-name/data")
    with pytest.raises(DirectoryRefused, match=DATA_VARIABLE):
        connect()
    assert cli.main(["doctor"]) == 1
    assert DATA_VARIABLE in capsys.readouterr().out
    assert cli.main(["project", "--status"]) == 1
    assert cli.main(["project", "--status", "--data", "~nobody-of-this-name"]) == 1


@pytest.mark.parametrize("sign", [*":,[]", "\udcff"])
def test_socket_path_that_mongod_would_not_understand_is_rejected(
    data: Path, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    """The last one is a byte that is not valid UTF-8."""
    with tempfile.TemporaryDirectory(prefix=f"odd{sign}") as odd:
        monkeypatch.setenv(RUNTIME_VARIABLE, odd)
        with pytest.raises(DirectoryRefused, match=r"contains one of.*" + RUNTIME_VARIABLE) as told:
            connect()
        str(told.value).encode()  # printable


def test_data_path_that_is_not_utf_8_is_used(tmp_path: Path) -> None:
    data = tmp_path / "odd\udcff[1]"
    with connect(data) as lab:
        assert lab.redis.ping()
        write(lab, "x")
    starter.stop(data)


def test_missing_directory_for_temporary_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only system."""

    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    directories.prepare_data(tmp_path)
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with pytest.raises(DirectoryRefused, match=RUNTIME_VARIABLE):
        directories.runtime_directory(tmp_path)
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as session:
        monkeypatch.setenv("XDG_RUNTIME_DIR", session)  # it is not needed then
        assert directories.runtime_directory(tmp_path).is_relative_to(session)


@pytest.mark.parametrize("call", ["flock", "lockf"])
def test_directory_without_file_locks_is_named(
    data: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """As on some network file systems."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, call, no_locks)
    with pytest.raises(DirectoryRefused, match=rf"No locks available.*{DATA_VARIABLE}"):
        connect()
    monkeypatch.undo()


@pytest.mark.root
def test_sockets_that_another_mount_namespace_hides_are_named(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As systemd's PrivateTmp=yes does. The process neither waits nor blocks others."""
    code = (
        "from eventlab.servers import DirectoryRefused, connect\n"
        "try:\n    connect()\nexcept DirectoryRefused as error:\n    print(error)"
    )
    with tempfile.TemporaryDirectory(prefix="seen-") as folder:
        monkeypatch.setenv(RUNTIME_VARIABLE, folder)
        monkeypatch.setattr(starter, "START_TIMEOUT_SECONDS", 5.0)
        with connect() as lab:
            hidden = shlex.join([sys.executable, "-c", code])
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {folder} && {hidden}"],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            assert "not visible here" in done.stdout
            assert RUNTIME_VARIABLE in done.stdout
            assert lab.redis.ping()
        starter.stop(data)
