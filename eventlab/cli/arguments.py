"""Arguments that several commands share, and the types that check argument values."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from eventlab import settings
from eventlab.accounts.names import CATEGORY, COLLECTION
from eventlab.observe.lag import MaxLag

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_PORT: Final = 65_535
MAX_WORKERS: Final = 256
MAX_COUNT: Final = 1_000_000_000
MAX_SECONDS: Final = 86_400.0
MAX_LAG_SECONDS: Final = 60.0
MAX_COLLECTION_BYTES: Final = 200  # MongoDB's limit is 255 with the database; views add a suffix


def add_command(
    commands: Commands, name: str, command: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """Add a command and return its parser; ``summary`` describes the command in the help texts."""
    description = f"{summary[0].upper()}{summary[1:]}."
    parser = commands.add_parser(name, help=summary, description=description)
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="data directory of the private servers (default: EVENTLAB_DATA, or one in your"
        " home directory)",
    )
    parser.set_defaults(command=command)
    return parser


def add_category(parser: argparse.ArgumentParser) -> None:
    """Add ``--category``, which names the category of the account events."""
    parser.add_argument(
        "--category",
        default=os.environ.get(settings.CATEGORY) or CATEGORY,
        help="category of the events (default: %(default)s)",
    )


def add_category_and_collection(parser: argparse.ArgumentParser) -> None:
    """Add ``--category`` for the account events, and ``--collection`` for the account view."""
    add_category(parser)
    parser.add_argument(
        "--collection",
        type=collection,
        default=os.environ.get(settings.COLLECTION) or COLLECTION,
        help="collection of the accounts view; the other views add a suffix to its name"
        " (default: %(default)s)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which prints JSON instead of text."""
    parser.add_argument("--json", action="store_true", help="print JSON (default: text)")


def add_metrics(parser: argparse.ArgumentParser, health: str) -> None:
    """Add ``--metrics``, which serves metrics while a command runs.

    ``health`` is the part of the help text that explains ``/healthz``.
    """
    parser.add_argument(
        "--metrics",
        type=port,
        metavar="PORT",
        help=f"serve GET /metrics for Prometheus and GET /healthz ({health}) on this port of"
        " 127.0.0.1; 0: any free port (default: serve neither)",
    )


def add_max_lag(parser: argparse.ArgumentParser, route: str) -> None:
    """Add ``--max-lag`` and ``--max-lag-seconds``, the lag above which a health route fails."""
    parser.add_argument(
        "--max-lag",
        type=whole,
        metavar="EVENTS",
        help=f"GET {route} returns 503 while a view lags by more than this many events and"
        " the oldest of them has waited for longer than --max-lag-seconds (default: any lag is"
        " healthy)",
    )
    parser.add_argument(
        "--max-lag-seconds",
        type=seconds,
        metavar="SECONDS",
        default=MAX_LAG_SECONDS,
        help="number of seconds that the oldest of these events may wait (default: %(default)g)",
    )


def max_lag(arguments: argparse.Namespace) -> MaxLag | None:
    """Return the lag limit that the options set, or None if they set no limit."""
    if arguments.max_lag is None:
        return None
    return MaxLag(arguments.max_lag, arguments.max_lag_seconds)


def port(text: str) -> int:
    """Parse a TCP port; 0 means any free port."""
    return _whole(text, 0, MAX_PORT)


def workers(text: str) -> int:
    """Parse a number of worker processes."""
    return _whole(text, 1, MAX_WORKERS)


def count(text: str) -> int:
    """Parse a count: an integer, 1 or more."""
    return _whole(text, 1, MAX_COUNT)


def whole(text: str) -> int:
    """Parse a count: an integer, 0 or more."""
    return _whole(text, 0, MAX_COUNT)


def seconds(text: str) -> float:
    """Parse a positive number of seconds, at most one day."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds above 0, up to {MAX_SECONDS:g}"
        )
    return value


def label(text: str) -> str:
    """Parse the name of a Gmail label, which must not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the label name is empty")
    return text.strip()


def day(text: str) -> datetime:
    """Parse a date, and return the start of that day in UTC."""
    try:
        found = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or found < EPOCH:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2026-01-31")
    return found


def collection(text: str) -> str:
    """Parse the name of a MongoDB collection, and reject a name that cannot be used."""
    encoded = text.encode("utf-8", "replace")
    rules = {
        "is empty": not text,
        "contains a $ or a null character": "$" in text or "\0" in text,
        "begins with system.": text.startswith("system."),
        "begins or ends with a dot, or contains two in a row": "" in text.split(".") and text != "",
        "is not valid UTF-8": any("\ud800" <= character <= "\udfff" for character in text),
        f"is longer than {MAX_COLLECTION_BYTES} bytes": len(encoded) > MAX_COLLECTION_BYTES,
    }
    for reason, broken in rules.items():
        if broken:
            raise argparse.ArgumentTypeError(f"{text!r} {reason}")
    return text


def root_path(text: str) -> str:
    """Parse the path prefix that a proxy adds to a service, and drop any trailing slash.

    >>> root_path("/bank/")
    '/bank'
    """
    path = text.rstrip("/")
    if path and not (path.startswith("/") and path.isascii() and path.isprintable()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path that begins with /")
    return path


def _whole(text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
    return value
