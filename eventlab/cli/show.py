"""``eventlab show``: print the events of an aggregate, and its state after each event."""

from __future__ import annotations

import argparse
import json
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from eventlab.accounts.account import Account
from eventlab.accounts.names import CATEGORY
from eventlab.aggregate import Aggregate
from eventlab.cli import arguments as options
from eventlab.cli.process import CommandFailed, UsageError
from eventlab.observe.printing import data_text, event_row, event_text, time_text
from eventlab.servers import connect
from eventlab.slices.store import open_store

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

LAST: Final = 50  # the number of events printed by default


def add_to(commands: Commands) -> None:
    """Register the ``show`` command."""
    parser = options.add_command(
        commands, "show", _show, "print the events of an aggregate, and its state after each event"
    )
    parser.add_argument("id", metavar="ID", help="id of the aggregate")
    options.add_category(parser)
    parser.add_argument(
        "--at",
        metavar="TIME",
        type=_time,
        help="print the aggregate as it was at this time, such as 2026-01-31T12:00:00Z (default:"
        " now)",
    )
    parser.add_argument(
        "--last",
        metavar="N",
        type=options.count,
        default=LAST,
        help="print the newest N events (default: %(default)s)",
    )
    parser.add_argument(
        "--reader",
        metavar="MODULE:NAME",
        help="the aggregate class that computes the state (default: the class of this package)",
    )
    options.add_json(parser)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time with a time zone, such as 2026-01-31T12:00:00Z"
        )
    return time


def _show(arguments: argparse.Namespace) -> int:
    aggregate = _aggregate(arguments)
    rows: deque[dict[str, Any]] = deque(maxlen=arguments.last)
    lines: deque[str] = deque(maxlen=arguments.last)
    with connect() as lab:
        store = open_store(lab.redis, arguments.category)
        first = max(1, store.version(arguments.id) - arguments.last + 1)
        for event in (event for page in store.pages(arguments.id) for event in page.events):
            if arguments.at is not None and event.time > arguments.at:
                break
            state = {} if aggregate is None else aggregate.replay([event]).state()
            if event.version < first and arguments.at is None:
                continue
            rows.append(event_row(event) | ({} if aggregate is None else {"state": state}))
            beside = "" if aggregate is None else f"  -> {data_text(state)}"
            lines.append(f"{time_text(event)} {event_text(event)}{beside}")
    if not rows:
        when = "" if arguments.at is None else f" at {arguments.at.isoformat()}"
        raise CommandFailed(f"{arguments.id!r} has no events in {arguments.category!r}{when}")
    earlier = rows[0]["version"] - 1
    if arguments.json:
        print(
            json.dumps({"id": arguments.id, "earlier": earlier, "events": list(rows)}, default=repr)
        )
    else:
        above = [f"({earlier:,} earlier events: --last shows more)"] if earlier else []
        print("\n".join([*above, *lines]))
    return 0


def _aggregate(arguments: argparse.Namespace) -> Aggregate | None:
    if arguments.reader is None and arguments.category == CATEGORY:
        return Account(arguments.id)
    # Imported here, because this module imports the readers of other categories as well.
    from eventlab.cli.events_check import READERS, reader_named

    readers = READERS.get(arguments.category, ())
    if arguments.reader is not None:
        readers = (reader_named(arguments.reader),)
    for reader in readers:
        if isinstance(reader, type):
            return reader(arguments.id)
    if readers:
        raise UsageError(f"--reader {arguments.reader} is not an Aggregate")
    return None
