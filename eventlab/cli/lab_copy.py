"""The reader's copy of the notebooks: keep files that the reader changed, and refresh the others.

The digest of each copied file is stored in the copy. If a file still has this digest, the reader
has not changed it, so a newer version may replace it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from eventlab.servers import directories, lock

FOLDER: Final = "notebooks"
#: The file that holds the digest of each copied file. It is inside the copy and moves with it.
NOTE: Final = ".eventlab-copy.json"
#: Each file is written under this name first, so that a crash leaves no partial file.
UNFINISHED: Final = ".eventlab-unfinished"
LOCK: Final = "notebooks.lock"
LOCK_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Copy:
    """The reader's copy: its path, the path of an older copy, and the reader's outdated files."""

    path: Path
    aside: Path | None
    #: Files that the reader has changed and that have a newer version in the course.
    outdated: list[str]

    def __str__(self) -> str:
        path = _printable(self.path)
        if self.aside is not None:
            return f"notebooks: {path} is a fresh copy; your old one is {_printable(self.aside)}"
        newer = ", ".join(self.outdated)
        older = (
            f"; it keeps your version of {newer}, although the course has a newer version"
            if newer
            else ""
        )
        return f"notebooks: {path} is your copy{older}; for a fresh copy, run eventlab lab --fresh"


def copy_of(notebooks: Path, data: Path, *, fresh: bool = False) -> Copy:
    """Create the copy in a data directory, or refresh the files that the reader has not changed.

    With ``fresh``, an existing copy is first renamed. No file that a reader has changed is ever
    deleted.
    """
    directories.prepare_data(data)
    copy = data / FOLDER
    with (
        directories.usable(copy, directories.DATA_VARIABLE),
        lock.held(data / LOCK, timeout=LOCK_SECONDS),
    ):
        if copy.exists() and copy.samefile(notebooks):  # the command was started inside the copy
            return Copy(copy, None, [])
        aside = _move_aside(copy) if fresh and copy.exists() else None
        copy.mkdir(exist_ok=True)
        return Copy(copy, aside, _refresh(notebooks, copy))


def _move_aside(copy: Path) -> Path:
    today = f"{copy.name}-{date.today().isoformat()}"
    names = itertools.chain([today], (f"{today}-{number}" for number in itertools.count(2)))
    aside = next(path for name in names if not (path := copy.with_name(name)).exists())
    return copy.rename(aside)


def _refresh(notebooks: Path, copy: Path) -> list[str]:
    noted = _noted(copy)
    received: dict[str, str] = {}
    outdated = []
    for name in _files(notebooks):
        source, target = notebooks / name, copy / name
        newest, present = _digest(source), _digest(target)
        if present is None or (present == noted.get(name) and present != newest):
            _write(source, target, copy / UNFINISHED)
            present = newest
        if present == newest:
            received[name] = newest or ""
            continue
        received[name] = noted.get(name, "")
        if received[name] != newest:
            outdated.append(name)
    for name in noted.keys() - received.keys():  # no longer in the course
        if _digest(copy / name) == noted[name]:
            (copy / name).unlink()
    (copy / UNFINISHED).write_text(json.dumps(received, indent=1))
    (copy / UNFINISHED).replace(copy / NOTE)
    return outdated


def _files(notebooks: Path) -> Iterator[str]:
    for path in sorted(notebooks.rglob("*")):
        name = path.relative_to(notebooks)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.parts):
            yield str(name)


def _noted(copy: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):  # without digests, all files count as changed
        found = json.loads((copy / NOTE).read_text("utf-8"))
        if isinstance(found, dict):
            return {str(name): str(digest) for name, digest in found.items()}
    return {}


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _write(source: Path, target: Path, unfinished: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # The mode is not copied, because the installation may be read-only.
    shutil.copyfile(source, unfinished)
    unfinished.replace(target)


def _printable(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")
