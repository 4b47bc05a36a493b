"""The directories of the servers: one that keeps the data, and a short one that holds the sockets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from eventlab import settings
from eventlab.servers.errors import DirectoryRefused

DATA_VARIABLE = settings.DATA
RUNTIME_VARIABLE = settings.RUNTIME
MARK = "eventlab.id"
SOCKETS = ("redis.sock", "mongod.sock")
# The kernel's own limit is 108 bytes on Linux and 104 on macOS, the closing zero among them.
LONGEST_SOCKET_PATH = 100


def data_directory(data: Path | str | None = None) -> Path:
    """Give the directory that keeps the data: the one asked for, else ``EVENTLAB_DATA``, else the user's own.

    Raises DirectoryRefused when it cannot be told, as for a user without a home.

    Example: ``data_directory("lab-data")``
    """
    chosen = data or os.environ.get(DATA_VARIABLE)
    try:
        return (
            Path(chosen or platformdirs.user_data_path("eventlab", appauthor=False))
            .expanduser()
            .resolve()
        )
    except RuntimeError as error:
        what = chosen or "the user's own data directory"
        raise DirectoryRefused(what, f"cannot be told ({error}): set {DATA_VARIABLE}") from error


def runtime_directory(data: Path) -> Path:
    """Give the directory of the sockets of a prepared data directory: always the same one, and short.

    Raises DirectoryRefused when every candidate is too long for a socket, or not plain enough for mongod.

    Example: ``runtime_directory(data_directory())``
    """
    # With the mark in it, a data directory made anew gets other sockets than the one that was deleted a moment ago.
    digest = hashlib.sha256(os.fsencode(data) + (data / MARK).read_bytes()).hexdigest()[:10]
    candidates = [base / f"eventlab-{os.geteuid()}-{digest}" for base in _runtime_bases()]
    for candidate in candidates:
        plain = not set(":,") & set(str(candidate))  # mongod splits its addresses there
        if plain and all(
            len(os.fsencode(candidate / name)) <= LONGEST_SOCKET_PATH for name in SOCKETS
        ):
            return candidate
    reason = "is too long a path for a socket, or holds a colon or a comma"
    raise DirectoryRefused(candidates[0], f"{reason}: set {RUNTIME_VARIABLE} to a short plain one")


def prepare_data(data: Path) -> None:
    """Make the data directory, or take an empty one or one of ours, and close it to everybody else.

    Raises DirectoryRefused for a directory of another user and for one that holds other things.

    Example: ``prepare_data(data_directory())``
    """
    with _usable(data, DATA_VARIABLE):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(data)
        mark = data / MARK
        if not mark.exists():
            others = any(not path.name.startswith(MARK) for path in data.iterdir())
            if (
                others and not mark.exists()
            ):  # look again: they may be those of who was first a moment ago
                reason = (
                    f"holds other things: name an empty directory, or a new one ({DATA_VARIABLE})"
                )
                raise DirectoryRefused(data, reason)
            _write_mark(mark)
        data.chmod(0o700)


def prepare_runtime(runtime: Path) -> None:
    """Make the directory of the sockets, closed to everybody else.

    Raises DirectoryRefused when somebody else has put something of that name there.

    Example: ``prepare_runtime(runtime_directory(data))``
    """
    with _usable(runtime, RUNTIME_VARIABLE):
        runtime.mkdir(mode=0o700, exist_ok=True)
        _refuse_foreign(runtime)
        runtime.chmod(0o700)


@contextlib.contextmanager
def _usable(path: Path, variable: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DirectoryRefused(
            path, f"cannot be used ({error.strerror}): set {variable} to another one"
        ) from error


def _runtime_bases() -> list[Path]:
    chosen = os.environ.get(RUNTIME_VARIABLE)
    if chosen:
        return [Path(chosen).expanduser().resolve()]
    session = Path(os.environ.get("XDG_RUNTIME_DIR") or os.devnull)
    shared = [Path(tempfile.gettempdir()), Path("/tmp")]
    # Left over from another user by su or sudo, the session's directory is of no use.
    usable = (
        session.is_dir() and session.stat().st_uid == os.geteuid() and os.access(session, os.W_OK)
    )
    return [session, *shared] if usable else shared


def _write_mark(mark: Path) -> None:
    fresh = mark.with_name(f"{MARK}.{os.getpid()}")
    fresh.write_text(secrets.token_hex(8))
    with contextlib.suppress(FileExistsError):  # another process was first
        mark.hardlink_to(fresh)
    fresh.unlink()


def _refuse_foreign(path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise DirectoryRefused(path, "is a link or a file, and should be a directory")
    if status.st_uid != os.geteuid():
        raise DirectoryRefused(
            path, f"belongs to another user: set {DATA_VARIABLE} and {RUNTIME_VARIABLE} to your own"
        )
