"""The two directories of the servers: one for data, and one with a short path for sockets."""

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
ID_FILE = "eventlab.id"
SOCKETS = ("redis.sock", "mongod.sock")
# The kernel's limit is 108 bytes on Linux and 104 on macOS, including the null terminator.
MAX_SOCKET_PATH_BYTES = 100


def data_directory(data: Path | str | None = None) -> Path:
    """Return the data directory: the argument, else ``EVENTLAB_DATA``, else the user's default.

    Raises DirectoryRefused if there is no default, such as when the user has no home directory.
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
        raise DirectoryRefused(
            what, f"cannot be determined ({error}): set {DATA_VARIABLE}"
        ) from error


def runtime_directory(data: Path) -> Path:
    """Return the short, fixed path of the socket directory for a prepared data directory.

    Raises DirectoryRefused if every candidate is too long for a socket or contains a character that
    mongod does not accept, or if there is no directory for temporary files.
    """
    # The name depends on the id file, so a data directory that is deleted and created again gets
    # a different socket directory.
    with usable(data, DATA_VARIABLE):
        identity = (data / ID_FILE).read_bytes()
    digest = hashlib.sha256(os.fsencode(data) + identity).hexdigest()[:10]
    candidates = [base / f"eventlab-{os.geteuid()}-{digest}" for base in _runtime_bases()]
    for candidate in candidates:
        if _is_plain(str(candidate)) and all(
            len(os.fsencode(candidate / name)) <= MAX_SOCKET_PATH_BYTES for name in SOCKETS
        ):
            return candidate
    raise DirectoryRefused(
        # Escaped, because the path may not be printable.
        os.fsencode(candidates[0]).decode(errors="backslashreplace"),
        "cannot contain a socket, because it is too long, contains one of ' : , [ ] ' or is not "
        f"valid UTF-8: set {RUNTIME_VARIABLE} to a short, plain path",
    )


def _is_plain(path: str) -> bool:
    """Return whether mongod uses a path as it is, without splitting or resolving it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return not set(":,[]") & set(path)


def prepare_data(data: Path) -> None:
    """Create the data directory if it does not exist, and make it inaccessible to other users.

    An existing directory must be empty or have been prepared before. Raises DirectoryRefused if it
    contains other files or belongs to another user.
    """
    with usable(data, DATA_VARIABLE):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(data, DATA_VARIABLE)
        id_file = data / ID_FILE
        if not id_file.exists():
            others = any(not path.name.startswith(ID_FILE) for path in data.iterdir())
            # Check again, because another process may have just created the files.
            if others and not id_file.exists():
                reason = f"has other files in it: set {DATA_VARIABLE} to an empty or new directory"
                raise DirectoryRefused(data, reason)
            _write_id(id_file)
        data.chmod(0o700)


def prepare_runtime(runtime: Path) -> None:
    """Create the socket directory if it does not exist, and make it inaccessible to other users.

    Raises DirectoryRefused if the path is not a directory or belongs to another user.
    """
    with usable(runtime, RUNTIME_VARIABLE):
        runtime.mkdir(mode=0o700, exist_ok=True)
        _refuse_foreign(runtime, RUNTIME_VARIABLE)
        runtime.chmod(0o700)


def check_runtime(runtime: Path) -> None:
    """Raise DirectoryRefused if the socket directory cannot be created."""
    with usable(runtime, RUNTIME_VARIABLE), tempfile.TemporaryDirectory(dir=runtime.parent):
        pass


@contextlib.contextmanager
def usable(path: Path, variable: str) -> Iterator[None]:
    """Convert an OSError in the block to a DirectoryRefused that names the variable to set."""
    try:
        yield
    except TimeoutError:  # another process holds a lock; the directory is fine
        raise
    except OSError as error:
        raise DirectoryRefused(
            path, f"cannot be used ({error.strerror}): set {variable} to another directory"
        ) from error


def _runtime_bases() -> list[Path]:
    chosen = os.environ.get(RUNTIME_VARIABLE)
    if chosen:
        return [Path(chosen).expanduser().resolve()]
    session = Path(os.environ.get("XDG_RUNTIME_DIR") or os.devnull)
    # After su or sudo, the variable may still name another user's directory.
    has_session = (
        session.is_dir() and session.stat().st_uid == os.geteuid() and os.access(session, os.W_OK)
    )
    temporary = [*_temporary(required=not has_session), Path("/tmp")]
    return [session, *temporary] if has_session else temporary


def _temporary(*, required: bool) -> list[Path]:
    try:
        return [Path(tempfile.gettempdir())]
    except OSError as error:  # gettempdir() writes a test file, which a read-only system prevents
        if not required:
            return []
        raise DirectoryRefused(
            "/tmp", f"cannot be used ({error.strerror}): set {RUNTIME_VARIABLE} to a directory"
        ) from error


def _write_id(id_file: Path) -> None:
    fresh = id_file.with_name(f"{ID_FILE}.{os.getpid()}")
    fresh.write_text(secrets.token_hex(8))
    with contextlib.suppress(FileExistsError):  # another process created it first
        id_file.hardlink_to(fresh)
    fresh.unlink()


def _refuse_foreign(path: Path, variable: str) -> None:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        reason = "is a link or a file, not a directory"
    elif status.st_uid != os.geteuid():
        reason = "belongs to another user"
    else:
        return
    raise DirectoryRefused(path, f"{reason}: set {variable} to a directory that you own")
