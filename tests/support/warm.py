"""A process that has imported all commands, and forks a process for each one that is run.

The imports take longer than most commands. What a fork does is otherwise what
``python -m eventlab`` does, to the end of the interpreter.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pymongo.synchronous.monitor import _shutdown_resources

from eventlab.cli import main as command_line

TIMEOUT_SECONDS = 100
ROOT = Path(__file__).parents[2]
ROOMS = ("accounts", "archive", "cli", "mailroom", "observe", "privacy", "sandbox", "servers")


class Warm:
    """The process, as the tests see it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, words: Sequence[str], env: Mapping[str, str]) -> tuple[int, str, str]:
        """Run a command to its end; return its exit status, standard output and standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, "out"), Path(folder, "error")]
            request = (list(words), dict(env), str(Path.cwd()), list(map(str, files)))
            print(json.dumps(request), file=self._process.stdin, flush=True)
            ready, _, _ = select.select([self._process.stdout], [], [], TIMEOUT_SECONDS)
            assert ready, f"eventlab {' '.join(words)} still runs after {TIMEOUT_SECONDS} s"
            status = int(self._process.stdout.readline())
            out, error = (file.read_text() for file in files)
            return status, out, error

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@functools.cache
def warm() -> Warm:
    """Return the process of this test run."""
    process = Warm()
    atexit.register(process.close)
    return process


def main() -> None:
    """Fork a process for each request on standard input, and print its exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even if the tests ignore Ctrl-C
    for room in ROOMS:
        package = importlib.import_module(f"eventlab.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    # At the end it would wait for PyMongo's threads, which look up every half second only.
    atexit.unregister(_shutdown_resources)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(*json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(words: list[str], env: dict[str, str], cwd: str, files: list[str]) -> NoReturn:
    """Become the process of one command."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, files[0], os.O_WRONLY | os.O_CREAT),
        (2, files[1], os.O_WRONLY | os.O_CREAT),
    ):
        file = os.open(path, flags, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[0] = cwd
    sys.argv[:] = ["eventlab", *words]
    sys.exit(command_line.main())


if __name__ == "__main__":
    main()
