"""``eventlab doctor``: check this machine, and report how to fix failures."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from eventlab.cli import arguments as options
from eventlab.cli.checks import Check, failure, server_checks
from eventlab.cli.process import UsageError, install
from eventlab.cli.text import sentence_of, size
from eventlab.errors import EventLabError
from eventlab.servers import (
    BinaryMissing,
    BinaryUnusable,
    ServersError,
    binaries,
    directories,
    external,
)

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

Purpose = Literal["library", "lab", "serve", "mailroom"]

OLDEST_PYTHON: Final = (3, 11)
LIBRARY: Final = ("redis", "hiredis", "pymongo", "msgspec")
#: The packages that each purpose needs in addition to LIBRARY. Each purpose names a pip extra.
PACKAGES: Final[dict[str, tuple[str, ...]]] = {
    "library": (),
    "lab": ("jupyterlab", "ipywidgets", "pandas", "matplotlib"),
    "serve": ("fastapi", "uvicorn"),
    "mailroom": (
        "requests",
        "nh3",
        "google-api-python-client",
        "google-auth-oauthlib",
        "lxml",
        "webencodings",
    ),
}
#: Notebook 07 and the mailroom wait until an event is on disk.
DURABLE: Final = ("lab", "mailroom")
MODULES: Final = {"google-api-python-client": "googleapiclient"}
#: The package that is found but not imported, because its import takes several seconds.
NOT_IMPORTED: Final = "jupyterlab"
STYLE: Final = "text-align:left"


@dataclass(frozen=True, repr=False)
class Report:
    """The results of all checks.

    The ``repr`` contains no version or path, so it is the same on all healthy machines.
    """

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Return whether every check passed."""
        return all(check.ok for check in self.checks)

    def text(self, *, details: bool = False) -> str:
        """Return one line per check; ``details`` adds versions and paths."""
        return "\n".join(_line(check, details=details) for check in self.checks)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f"<table>{''.join(_row(check) for check in self.checks)}</table>"


def add_to(commands: Commands) -> None:
    """Register the ``doctor`` command."""
    parser = options.add_command(
        commands,
        "doctor",
        _doctor,
        "check this machine: print each part with its version and status, and how to fix a failure",
    )
    parser.add_argument(
        "--for",
        dest="purpose",
        choices=get_args(Purpose),
        default="lab",
        help="check the requirements for this use (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON (default: text)")
    events = parser.add_argument_group("check stored events instead")
    events.add_argument(
        "--events",
        metavar="CATEGORY",
        help="print each shape of the events that this category stores, and whether the current "
        "code can read it",
    )
    events.add_argument(
        "--reader",
        action="append",
        metavar="MODULE:NAME",
        help="an aggregate class or a view that reads the category; may be repeated (default: "
        "the classes of this package)",
    )
    events.add_argument(
        "--upcaster",
        action="append",
        metavar="MODULE:NAME",
        help=(
            "a function that converts an event to a newer shape; may be repeated, and the "
            "functions are applied in order (default: none)"
        ),
    )


def _doctor(arguments: argparse.Namespace) -> int:
    readers = arguments.reader or []
    upcasters = arguments.upcaster or []
    if arguments.events is not None:
        # Imported here, because this module imports every reader, and other checks need no reader.
        from eventlab.cli.events_check import check_events

        return check_events(arguments.events, readers, upcasters, as_json=arguments.json)
    if readers or upcasters:
        raise UsageError("--reader and --upcaster need --events CATEGORY")
    found = report(purpose=arguments.purpose)
    if arguments.json:
        checks = [asdict(check) for check in found.checks]
        print(json.dumps({"for": arguments.purpose, "ok": found.ok, "checks": checks}, indent=2))
    else:
        print(found.text(details=True))
    return 0 if found.ok else 1


def report(data: Path | str | None = None, *, purpose: Purpose = "lab") -> Report:
    """Check this machine and return a report that a notebook can show."""
    return Report(tuple(examine(data, purpose=purpose)))


def examine(data: Path | str | None = None, *, purpose: Purpose = "lab") -> list[Check]:
    """Check everything that is required for a purpose, such as ``library``, and return the results.

    The private servers are started if they are needed and not running.
    """
    try:
        directory = directories.data_directory(data)
    except ServersError as error:
        remedy = f"set {directories.DATA_VARIABLE} to a new directory"
        return [failure("data directory", error, remedy)]
    data_check = _data_directory(directory)
    packages = [_package(name, purpose) for name in PACKAGES[purpose]]
    has_settings = purpose == "mailroom" and all(check.ok for check in packages)
    checks = [
        _python(),
        *(_package(name) for name in LIBRARY),
        *packages,
        *([_mail_settings()] if has_settings else []),
        data_check,
    ]
    own = all(os.environ.get(name) for name in (external.REDIS_URL, external.MONGODB_URL))
    if not data_check.ok and not own:
        return checks  # all later checks would fail for the same reason
    programs = [
        *([] if own else [_runtime_directory(directory)]),
        _program("redis-server", external.REDIS_URL, binaries.find_redis),
        _program("mongod", external.MONGODB_URL, lambda: binaries.find_mongod(directory)),
    ]
    checks += programs
    if all(check.ok for check in programs):
        checks += server_checks(directory, durability=purpose in DURABLE)
    return checks


def _python() -> Check:
    ok = sys.version_info >= OLDEST_PYTHON
    remedy = "install Python 3.11 or newer, and create the environment again"
    return Check("Python", ok, platform.python_version(), remedy)


def _package(name: str, *extras: str) -> Check:
    module = MODULES.get(name, name.replace("-", "_"))
    try:
        if name != NOT_IMPORTED:
            importlib.import_module(module)
        elif importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return Check(name, True, importlib.metadata.version(name))
    except Exception as error:  # noqa: BLE001 - an incompatible package may raise anything
        return Check(name, False, str(error), install(*extras))


def _mail_settings() -> Check:
    from eventlab.mailroom.settings import Settings
    from eventlab.mailroom.variables import VARIABLES

    name = "mail settings"
    if not any(os.environ.get(variable) for variable in VARIABLES):
        return Check(name, True, "none: eventlab route works with --sandbox only")
    try:
        Settings.from_environment(os.environ)
    except EventLabError as error:
        return Check(name, False, str(error), "eventlab route --help lists the variables")
    return Check(name, True, "valid")


def _data_directory(directory: Path) -> Check:
    name = "data directory"
    try:
        directories.prepare_data(directory)
    except (ServersError, OSError) as error:
        remedy = f"set {directories.DATA_VARIABLE} to a new directory that you own"
        return failure(name, error, remedy)
    return Check(name, True, f"{directory} ({size(_bytes_in(directory))})")


def _runtime_directory(directory: Path) -> Check:
    name = "socket directory"
    try:
        runtime = directories.runtime_directory(directory)
        if runtime.exists():
            directories.prepare_runtime(runtime)
        else:  # starting the servers creates it
            directories.check_runtime(runtime)
    except (ServersError, OSError) as error:
        remedy = f"set {directories.RUNTIME_VARIABLE} to a short new directory that you own"
        return failure(name, error, remedy)
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
        return Check(name, False, sentence_of(error), "fix the data directory first")
    return Check(name, True, f"{binary.version} ({binary.path})")


def _bytes_in(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the servers may remove files while this runs
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
