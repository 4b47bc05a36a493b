"""The command line: ``eventlab lab``, ``serve``, ``project``, ``route``, ``sandbox`` and ``doctor``."""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from eventlab.cli import doctor, project, route
from eventlab.errors import EventLabError
from eventlab.servers import connect, directories

NOTEBOOKS = "notebooks"
FIRST_PAGE = "00_start_here.ipynb"


class CommandFailed(EventLabError):
    """A command cannot do what it was asked to; the sentence goes to standard error."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status.

    Example: ``main(["doctor"])``
    """
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        if arguments.data:
            os.environ[directories.DATA_VARIABLE] = str(directories.data_directory(arguments.data))
        return command(arguments)
    except EventLabError as error:
        print(f"eventlab: {error}", file=sys.stderr)
    except (RedisError, PyMongoError) as error:
        print(
            f"eventlab: a server does not answer as it should: {type(error).__name__}: {error}",
            file=sys.stderr,
        )
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "eventlab", description="Event sourcing on a real Redis and a real MongoDB."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    lab = _add(
        commands, "lab", _lab, "open JupyterLab on the notebooks, with the servers up until it ends"
    )
    lab.add_argument("--no-browser", action="store_true", help="only print the address")
    lab.add_argument(
        "--port",
        type=_port,
        help="listen on this port of 127.0.0.1 (else 8888, or the next free one)",
    )
    serve = _add(
        commands, "serve", _serve, "serve the accounts over HTTP, until Ctrl-C or a SIGTERM"
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="listen on this address (default: %(default)s)"
    )
    serve.add_argument(
        "--port", type=int, default=8444, help="and on this port (default: %(default)s)"
    )
    serve.add_argument(
        "--workers", type=int, default=1, metavar="N", help="in so many processes (default: 1)"
    )
    project = _add(
        commands,
        "project",
        _project,
        "keep the views up to date, until Ctrl-C or a SIGTERM; several may run",
    )
    project.add_argument(
        "--view",
        action="append",
        metavar="NAME",
        help="only this one: accounts, per_day or by_type",
    )
    project.add_argument(
        "--verbose", action="store_true", help="log each batch, not only each change of state"
    )
    instead = project.add_mutually_exclusive_group()
    instead.add_argument(
        "--status", action="store_true", help="instead, print the position and the lag of each view"
    )
    instead.add_argument(
        "--rebuild", metavar="NAME", help="instead, build a view anew, while all go on reading it"
    )
    instead.add_argument(
        "--skip",
        metavar="POSITION",
        help="instead, let a stopped view (--view) pass over this event",
    )
    for following in (serve, project):
        following.add_argument(
            "--category", default="accountStream", help="the events (default: %(default)s)"
        )
        following.add_argument(
            "--collection",
            default="accountCollection",
            help="the view of the accounts; others are called after it (default: %(default)s)",
        )
    route.add_to(commands, _add)
    _add(
        commands,
        "doctor",
        _doctor,
        "examine this machine: each part with its version, OK or FAIL and the remedy",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError(text)
    return port


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    help: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="keep the data there (default: EVENTLAB_DATA, or the user's own)",
    )
    parser.set_defaults(command=command)
    return parser


# ------------------------------------------------------------------------------------------------------- doctor


def _doctor(_arguments: argparse.Namespace) -> int:
    report = doctor.report()
    print(report.text(details=True))
    return 0 if report.ok else 1


# -------------------------------------------------------------------------------------------------------- serve


def _serve(arguments: argparse.Namespace) -> int:
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("uvicorn") is None:
        raise CommandFailed(
            "FastAPI and uvicorn are not installed: python -m pip install fastapi uvicorn"
        )
    from eventlab.accounts.http import server

    server.serve(
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        category=arguments.category,
        collection=arguments.collection,
    )
    return 0


# ------------------------------------------------------------------------------------------------------ project


def _project(arguments: argparse.Namespace) -> int:
    project.log_to_stderr(verbose=arguments.verbose)
    named = arguments.view or ([arguments.rebuild] if arguments.rebuild else [])
    with project.projectors(arguments.category, arguments.collection, named) as found:
        if arguments.status:
            print(project.status(found))
            return 0
        if arguments.rebuild or arguments.skip:
            if len(found) != 1:
                raise CommandFailed("say which view: --view NAME")
            [(name, projector)] = found.items()
            if arguments.skip:
                projector.skip(arguments.skip)
                print(f"view {name}: {arguments.skip} will not count")
            else:
                print(f"view {name}: built anew from {projector.rebuild():,} events")
            return 0
        return project.follow(found)


# ---------------------------------------------------------------------------------------------------------- lab


def _lab(arguments: argparse.Namespace) -> int:
    notebooks = _find_notebooks()
    if importlib.util.find_spec("jupyterlab") is None:
        raise CommandFailed(
            "JupyterLab is not installed: python -m pip install -r requirements.txt"
        )
    # The kernels start elsewhere: they must find the same directory.
    os.environ[directories.DATA_VARIABLE] = str(directories.data_directory())
    with connect():
        return _run_to_its_end(_jupyter(notebooks, arguments))


def _find_notebooks() -> Path:
    here, checkout = Path.cwd(), Path(__file__).resolve().parents[2]
    for folder in (here / NOTEBOOKS, here, checkout / NOTEBOOKS):
        if (folder / FIRST_PAGE).is_file():
            return folder
    raise CommandFailed(
        f"there is no {NOTEBOOKS}/{FIRST_PAGE} here: change to the directory of the checkout first"
    )


def _jupyter(notebooks: Path, arguments: argparse.Namespace) -> list[str]:
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={notebooks}"]
    # By number: a minimal machine cannot resolve "localhost".
    command += ["--ServerApp.ip=127.0.0.1", f"--LabApp.default_url=/lab/tree/{FIRST_PAGE}"]
    if arguments.no_browser:
        command.append("--no-browser")
    if arguments.port is not None:
        command += [
            f"--ServerApp.port={arguments.port}",
            "--ServerApp.port_retries=0",
        ]  # that one, or say so
    if os.geteuid() == 0:
        command.append("--allow-root")  # in a container there may be nobody else
    return command


def _run_to_its_end(command: list[str]) -> int:
    with subprocess.Popen(command) as jupyter:

        def pass_on(number: int, _frame: FrameType | None) -> None:
            jupyter.send_signal(number)

        before = {signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on)}
        # The terminal sends Ctrl-C to both; Jupyter asks whether it is meant, and its answer counts.
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            status = jupyter.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return status if status >= 0 else 128 - status
