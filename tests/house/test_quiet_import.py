"""Importing the package does nothing but import: no I/O, no threads, no processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.house.rooms import ROOT, SOURCES, name_of, room_of
from tests.house.test_imports import ASIDE

WATCH = """
import os, sys, threading
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork",
           "os.posix_spawn", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.kill",
           "tempfile.", "shutil.", "_thread.start_new_thread", "signal.")
HARMLESS = ("socket.__new__", "socket.gethostname")   # third parties look up themselves
def watch(event, args):
    if not armed or event in HARMLESS:
        return
    mode = set(str(args[1] or "")) if event == "open" else set()
    flags = int(args[2] or 0) if event == "open" else 0
    if set("wax+") & mode or flags & (os.O_WRONLY | os.O_RDWR):
        raise SystemExit(f"importing opens {args[0]!r} for writing")
    if event.startswith(FORBIDDEN):
        raise SystemExit(f"importing does {event} {args!r:.200}")
def start(self):
    raise SystemExit("importing starts a thread")
armed = False
sys.addaudithook(watch)
for name in filter(None, sys.argv[2].split(",")):
    __import__(name)
threading.Thread.start, armed = start, True
for name in sys.argv[1].split(","):
    print(name)
    __import__(name)
armed = False
"""
#: Libraries that draw keep caches of their own: they are imported first, and only what our modules
#: add is checked.
THEIRS = ["matplotlib.pyplot", "pandas", "ipywidgets", "IPython.display", "tqdm.auto", "requests"]
ASKS_FOR_IPV6 = ["urllib3"]  # it opens a socket on import, to find out


def import_quietly(
    modules: Sequence[str], already: Sequence[str] = (), path: Path = ROOT
) -> tuple[int, list[str], str]:
    """Import modules in an interpreter that forbids anything else.

    Returns its exit status, the modules that it reached, and its error output.
    """
    command = [
        sys.executable,
        "-B",
        "-W",
        "error",
        "-c",
        WATCH,
        ",".join(modules),
        ",".join(already),
    ]
    done = subprocess.run(
        command, cwd=path, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.split(), done.stderr


def modules(*, aside: bool) -> list[str]:
    """Return the modules of the library, or those that only readers and tests import."""
    names = [name_of(p) for p in SOURCES if not name_of(p).endswith("__main__")]
    return [f"eventlab.{n}".rstrip(".") for n in names if (room_of(n) in ASIDE) is aside]


@pytest.mark.parametrize(
    ("names", "already"),
    [(modules(aside=False), ASKS_FOR_IPV6), (modules(aside=True), THEIRS)],
    ids=["all", "aside"],
)
def test_import_does_nothing_else(names: list[str], already: list[str]) -> None:
    assert names, "no module was found"
    assert import_quietly(names, already) == (0, names, "")


@pytest.mark.parametrize(
    "line",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "open('left_behind', 'w')",
        "from pathlib import Path; Path('left_behind').mkdir()",
        "import subprocess; subprocess.Popen(['true'])",
        "import threading; threading.Thread(target=lambda: None).start()",
        "import threading; threading.Timer(5, print).start()",
    ],
)
def test_noisy_import_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(line)
    status, _tried, complaint = import_quietly(["noisy"], path=tmp_path)
    assert (status, complaint.startswith("importing ")) == (1, True)
    assert not (tmp_path / "left_behind").exists()
