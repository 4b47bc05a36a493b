"""``eventlab trace``: print the events with a given correlation id as a tree of causes."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Final

from eventlab.accounts.names import CATEGORY
from eventlab.cli import arguments as options
from eventlab.cli.process import CommandFailed
from eventlab.observe.printing import data_text, event_row, printable, time_text
from eventlab.observe.trace import trace
from eventlab.servers import connect
from eventlab.slices.store import open_store

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

MAX_INDENT: Final = 20


def add_to(commands: Commands) -> None:
    """Register the ``trace`` command."""
    parser = options.add_command(
        commands, "trace", _trace, "print the events with a correlation id as a tree of causes"
    )
    parser.add_argument("correlation", metavar="CORRELATION", help="value of correlation_id")
    parser.add_argument(
        "--category",
        action="append",
        help=f"search this category; may be repeated (default: {CATEGORY})",
    )
    options.add_json(parser)


def _trace(arguments: argparse.Namespace) -> int:
    categories: list[str] = arguments.category or [CATEGORY]
    with connect() as lab:
        found = trace([open_store(lab.redis, one) for one in categories], arguments.correlation)
    if arguments.json:
        rows = [{"depth": one.depth, "name": one.name} | event_row(one.event) for one in found]
        print(json.dumps({"correlation_id": arguments.correlation, "events": rows}))
    elif found:
        for one in found:
            indent = "  " * min(one.depth, MAX_INDENT)
            event = one.event
            what = f"{printable(event.type)} {data_text(event.data)}"
            print(f"{time_text(event)} {indent}{printable(one.name)} {what}")
    else:
        raise CommandFailed(
            f"no event in {', '.join(categories)} has correlation_id {arguments.correlation!r}"
        )
    return 0
