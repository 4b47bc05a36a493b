"""Whether this machine has all that the lab needs, part by part, and what to do about a part that fails."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from eventlab.servers import (
    BinaryMissing,
    BinaryUnusable,
    ServersError,
    binaries,
    connect,
    directories,
    external,
)

OLDEST_PYTHON = (3, 11)
PACKAGES = ("redis", "hiredis", "pymongo", "jupyterlab", "pandas", "matplotlib")
STYLE = "text-align:left"


@dataclass(frozen=True)
class Check:
    """One part of the lab: ``detail`` says what was found, ``remedy`` what to do when it is not ``ok``."""

    name: str
    ok: bool
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, repr=False)
class Report:
    """All checks; what it shows holds no version and no path, so it is the same on every machine that is well."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every part is well."""
        return all(check.ok for check in self.checks)

    def text(self, *, details: bool = False) -> str:
        """Give a line for each check, with versions and paths if asked for."""
        return "\n".join(_line(check, details=details) for check in self.checks)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f"<table>{''.join(_row(check) for check in self.checks)}</table>"


def report(data: Path | str | None = None) -> Report:
    """Examine this machine, and give what a notebook shows.

    Example: ``report()``
    """
    return Report(tuple(examine(data)))


def examine(data: Path | str | None = None) -> list[Check]:
    """Examine each part of the lab; the servers are started for it, if they do not run.

    Example: ``[check.name for check in examine() if not check.ok]``
    """
    try:
        directory = directories.data_directory(data)
    except ServersError as error:
        return [
            Check(
                "data directory",
                False,
                str(error),
                f"set {directories.DATA_VARIABLE} to a new directory",
            )
        ]
    return [
        _python(),
        *map(_package, PACKAGES),
        _data_directory(directory),
        _runtime_directory(directory),
        _program("redis-server", external.REDIS_URL, binaries.find_redis),
        _program("mongod", external.MONGODB_URL, lambda: binaries.find_mongod(directory)),
        *_servers(directory),
    ]


def _python() -> Check:
    ok = sys.version_info >= OLDEST_PYTHON
    return Check(
        "Python",
        ok,
        platform.python_version(),
        "install Python 3.11 or newer, and make the environment anew",
    )


def _package(name: str) -> Check:
    remedy = "python -m pip install -r requirements.txt"
    try:
        importlib.import_module(name)
        return Check(name, True, importlib.metadata.version(name))
    except Exception as error:  # noqa: BLE001 - a package that does not fit another one may raise anything
        return Check(name, False, str(error), remedy)


def _data_directory(directory: Path) -> Check:
    name = "data directory"
    try:
        directories.prepare_data(directory)
    except (ServersError, OSError) as error:
        return Check(
            name,
            False,
            str(error),
            f"set {directories.DATA_VARIABLE} to a new directory of your own",
        )
    return Check(name, True, f"{directory} ({_size(directory) / 1e6:.1f} MB)")


def _runtime_directory(directory: Path) -> Check:
    name = "socket directory"
    try:
        runtime = directories.runtime_directory(directory)
        if runtime.exists():  # else it is made when the servers start
            directories.prepare_runtime(runtime)
    except (ServersError, OSError) as error:
        return Check(
            name,
            False,
            str(error),
            f"set {directories.RUNTIME_VARIABLE} to a short new directory of your own",
        )
    return Check(name, True, str(runtime))


def _program(name: str, variable: str, find: Callable[[], binaries.Binary]) -> Check:
    if os.environ.get(variable):
        return Check(name, True, f"not needed: {variable} is set")
    try:
        binary = find()
    except BinaryMissing as error:
        return Check(name, False, "not found", error.remedy)
    except BinaryUnusable as error:
        return Check(name, False, error.reason, error.remedy)
    except OSError as error:
        return Check(name, False, str(error), "see the data directory")
    return Check(name, True, f"{binary.version} ({binary.path})")


def _servers(directory: Path) -> Iterable[Check]:
    names = ("Redis answers", "MongoDB answers", "MongoDB transaction")
    try:
        with connect(directory) as lab:
            yield Check(names[0], bool(lab.redis.ping()), "PING")
            yield Check(names[1], True, f"version {lab.mongo.client.server_info()['version']}")
            with lab.mongo.client.start_session() as session, session.start_transaction():
                lab.mongo.get_collection("doctor").insert_one({}, session=session)
                session.abort_transaction()  # nothing of it stays
            yield Check(names[2], True, "begun, written, taken back")
    except (ServersError, RedisError, PyMongoError, OSError) as error:
        yield Check(
            "servers", False, str(error), "mend the parts above first, then read the message"
        )


def _size(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the servers remove files meanwhile
            total += path.lstat().st_blocks * 512
    return total


def _line(check: Check, *, details: bool) -> str:
    words = [f"{'OK' if check.ok else 'FAIL':<6}{check.name}"]
    if details and check.detail:
        words.append(check.detail)
    if not check.ok and check.remedy:
        words.append(check.remedy)
    return ": ".join(words)


def _row(check: Check) -> str:
    cells = [check.name, "OK" if check.ok else "FAIL", "" if check.ok else check.remedy]
    return "<tr>" + "".join(f"<td style='{STYLE}'>{escape(cell)}</td>" for cell in cells) + "</tr>"
