"""``eventlab lab``: start the servers, and open a copy of the notebooks in JupyterLab.

The servers run until JupyterLab exits.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from eventlab.cli import arguments as options
from eventlab.cli import lab_copy
from eventlab.cli.process import WAKE_SECONDS, CommandFailed, require
from eventlab.servers import connect, directories

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

NOTEBOOKS: Final = "notebooks"
FIRST_PAGE: Final = "00_start_here.ipynb"
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
#: Start JupyterLab, but print no traceback if Ctrl-C arrives while it is still being imported.
JUPYTER: Final = """
import sys
try:
    from jupyterlab.labapp import main
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


def add_to(commands: Commands) -> None:
    """Register the ``lab`` command."""
    parser = options.add_command(
        commands,
        "lab",
        _lab,
        "open a copy of the notebooks in JupyterLab; the servers run until it exits",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--in-place",
        action="store_true",
        help="open the notebooks themselves, to edit the course (default: the copy in the data"
        " directory, which keeps your changes)",
    )
    which.add_argument(
        "--fresh",
        action="store_true",
        help="rename the old copy, adding today's date, and open a new copy (default: keep what you"
        " have changed, and refresh the rest)",
    )
    parser.add_argument(
        "--no-browser",
        action="store_true",
        help="print the URL (default: also open it in a browser)",
    )
    parser.add_argument(
        "--port",
        type=options.port,
        help="port of 127.0.0.1 to listen on, or 0 for any free port (default: 8888, or the next"
        " free port)",
    )


def _lab(arguments: argparse.Namespace) -> int:
    notebooks = _find_notebooks()
    require(("jupyterlab",), "lab")
    data = directories.data_directory()
    # The kernels start in other directories and must find the same data directory.
    os.environ[directories.DATA_VARIABLE] = str(data)
    if not arguments.in_place:
        copy = lab_copy.copy_of(notebooks, data, fresh=arguments.fresh)
        print(copy, flush=True)
        notebooks = copy.path
    _adapt_to_notebooks(os.environ)
    with connect():
        return _run_to_its_end(_jupyter(notebooks, arguments))


def _adapt_to_notebooks(variables: MutableMapping[str, str]) -> None:
    """Bypass proxies for loopback and unset MPLBACKEND; either setting breaks the notebooks."""
    for name in ("no_proxy", "NO_PROXY"):
        variables[name] = ",".join(filter(None, [variables.get(name), *LOOPBACK]))
    variables.pop("MPLBACKEND", None)


def _find_notebooks() -> Path:
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[2]
    for folder in (here / NOTEBOOKS, here, checkout / NOTEBOOKS):
        if (folder / FIRST_PAGE).is_file():
            return folder
    raise CommandFailed(
        f"{NOTEBOOKS}/{FIRST_PAGE} is not in the current directory: change to your clone of "
        "eventlab first"
    )


def _jupyter(notebooks: Path, arguments: argparse.Namespace) -> list[str]:
    # -P prevents a file in the working directory from replacing a module of JupyterLab.
    command = [sys.executable, "-P", "-c", JUPYTER, f"--ServerApp.root_dir={notebooks}"]
    # An IP address, because a minimal system cannot resolve "localhost".
    command += ["--ServerApp.ip=127.0.0.1", f"--LabApp.default_url=/lab/tree/{FIRST_PAGE}"]
    if arguments.no_browser:
        command.append("--no-browser")
    if arguments.port is not None:  # fail rather than use another port
        command += [f"--ServerApp.port={arguments.port}", "--ServerApp.port_retries=0"]
    if os.geteuid() == 0:
        command.append("--allow-root")  # a container may have no other user
    return command


def _run_to_its_end(command: list[str]) -> int:
    with subprocess.Popen(command) as jupyter:

        def pass_on(number: int, _frame: FrameType | None) -> None:
            jupyter.send_signal(number)

        before = {signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on)}
        # A terminal sends Ctrl-C to both processes; Jupyter asks for confirmation and decides.
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            while (status := jupyter.poll()) is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    jupyter.wait(WAKE_SECONDS)  # see wait_for
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return status if status >= 0 else 128 - status
