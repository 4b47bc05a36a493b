"""Run a command on a machine that is as unfavorable as a user's machine may be.

    python -m tools.hostile_machine make test

Four busy loops (``--busy 0``: none) run alongside the command, as do a mongod and a redis-server
that are not ours, on TCP ports. The command's environment has a proxy that does not respond, a
different matplotlib backend, an IPython profile with its own startup file and settings, an unusual
time zone, the C locale, and a umask of 077. Everything stops when the command ends, and the exit
status is the command's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from eventlab.lessons.ports import free_port
from eventlab.servers.binaries import Binary, find_mongod, find_redis

NOWHERE = "http://127.0.0.1:9"  # the discard port, on which nothing listens
PROFILE = """
c = get_config()
c.InteractiveShell.colors = "NoColor"
c.InteractiveShell.autocall = 1
c.InteractiveShell.ast_node_interactivity = "all"
c.InteractiveShellApp.exec_lines = ["print('a line of the profile')"]
"""
STARTUP = "print('a startup file of the user'); import time; List = None\n"


def variables(folder: Path) -> dict[str, str]:
    """Return the environment variables for the command; write an IPython profile to a folder.

    >>> variables(Path("profile"))["MPLBACKEND"]
    'Agg'
    """
    profile = folder / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "ipython_config.py").write_text(PROFILE)
    (profile / "ipython_kernel_config.py").write_text(PROFILE)
    (profile / "startup" / "00-hello.py").write_text(STARTUP)
    proxies = {f"{name}_proxy": NOWHERE for name in ("http", "https", "all")}
    return {
        **proxies,
        **{name.upper(): value for name, value in proxies.items()},
        "MPLBACKEND": "Agg",
        "IPYTHONDIR": str(folder / "ipython"),
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "COLUMNS": "40",
        "PYTHONWARNINGS": "always",
    }


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str] | None = None) -> Iterator[None]:
    """Keep a process running during the ``with`` block."""
    process = subprocess.Popen(
        command,
        env=os.environ | (environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def foreign(binary: Binary, *arguments: str) -> contextlib.AbstractContextManager[None]:
    """Run a server that does not belong to eventlab."""
    return running([str(binary.path), *arguments], dict(binary.env))


def main(arguments: list[str]) -> int:
    """Run the command in the arguments, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.hostile_machine",
        description="Run a command on a machine with foreign servers, odd settings and busy cores.",
    )
    parser.add_argument("--busy", type=int, default=4, help="number of busy loops (default: 4)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="command to run")
    options = parser.parse_args(arguments)
    if not options.command:
        parser.error("a command is required, such as: make test")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        port = str(free_port())
        stack.enter_context(
            foreign(find_redis(), "--port", port, "--save", "", "--dir", str(folder))
        )
        (folder / "mongod").mkdir()
        # This mongod has its socket in the default place, like Debian's package.
        stack.enter_context(
            foreign(
                find_mongod(folder), "--port", str(free_port()), "--dbpath", str(folder / "mongod")
            )
        )
        for _ in range(options.busy):
            stack.enter_context(running([sys.executable, "-c", "while True: pass"]))
        os.umask(0o077)
        return subprocess.call(options.command, env=os.environ | variables(folder))


if __name__ == "__main__":
    # The default action of SIGTERM would leave the busy loops and the servers running.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
