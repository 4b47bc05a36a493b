"""``eventlab watch``, ``show`` and ``trace``: look at stored events, and change nothing."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from eventlab.accounts.account import Account
from eventlab.accounts.names import CATEGORY
from eventlab.aggregate import Aggregate
from eventlab.cli import arguments as options
from eventlab.cli.process import CommandFailed, UsageError, stop_on_signals
from eventlab.cli.text import sentence_of
from eventlab.errors import CorruptEvent, InvalidArgument
from eventlab.events import Recorded
from eventlab.observe.printing import data_text, event_row, event_text, printable, time_text
from eventlab.observe.trace import trace
from eventlab.servers import connect
from eventlab.store.answers import is_outage
from eventlab.store.keys import checked_position
from eventlab.store.store import EventStore

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

PAGE: Final = 1000
WAIT_SECONDS: Final = 0.5
LAST: Final = 50  # events that show prints, unless asked for more
MAX_INDENT: Final = 20


def add_to(commands: Commands) -> None:
    """Add the three commands to the command line."""
    watch = options.add_command(
        commands, "watch", _watch, "print the new events of a category until Ctrl-C or SIGTERM"
    )
    options.add_category(watch)
    watch.add_argument("--id", help="print only the events of this aggregate (default: all)")
    watch.add_argument(
        "--after",
        metavar="POSITION",
        type=_position,
        help="begin after this position; 0-0 is the beginning (default: the newest event)",
    )
    watch.add_argument(
        "--once", action="store_true", help="exit at the newest event (default: wait for more)"
    )
    show = options.add_command(
        commands, "show", _show, "print the events of an aggregate, and its state after each"
    )
    show.add_argument("id", metavar="ID", help="id of the aggregate")
    options.add_category(show)
    show.add_argument(
        "--at",
        metavar="TIME",
        type=_time,
        help="as it was at this time, such as 2026-01-31T12:00:00Z (default: now)",
    )
    show.add_argument(
        "--last",
        metavar="N",
        type=options.count,
        default=LAST,
        help="print the newest N events (default: %(default)s)",
    )
    show.add_argument(
        "--reader",
        metavar="MODULE:NAME",
        help="the aggregate class, for its state (default: that of this package)",
    )
    traced = options.add_command(
        commands, "trace", _trace, "print the events of a correlation id as a tree of causes"
    )
    traced.add_argument("correlation", metavar="CORRELATION", help="value of correlation_id")
    traced.add_argument(
        "--category",
        action="append",
        help=f"search this category; may be repeated (default: {CATEGORY})",
    )
    for parser in (watch, show, traced):
        parser.add_argument("--json", action="store_true", help="print JSON (default: text)")


def _position(text: str) -> str:
    try:
        return checked_position(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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


def _watch(arguments: argparse.Namespace) -> int:
    stop = stop_on_signals()
    with connect() as lab:
        store = EventStore(lab.redis, arguments.category)
        after = store.head() if arguments.after is None else arguments.after
        for event in _tail(store, after, stop, once=arguments.once):
            if arguments.id in (None, event.id):
                text = f"{time_text(event)} {event_text(event)}"
                print(json.dumps(event_row(event)) if arguments.json else text, flush=True)
    return 0


def _tail(
    store: EventStore, after: str, stop: threading.Event, *, once: bool
) -> Iterator[Recorded]:
    """Yield the events after a position as they come, until a stop; an outage is waited out."""
    is_away = False
    while not stop.is_set():
        count = 0
        try:
            for event in store.read_all(after=after, limit=PAGE):
                after = event.position
                count += 1
                yield event
                if stop.is_set():
                    return
            if count == 0 and once:
                return
            is_away = False
            if count == 0:
                store.wait(after=after, seconds=WAIT_SECONDS)
        except CorruptEvent as error:
            print(f"eventlab: {printable(str(error))}", file=sys.stderr)
            after = error.where
        except RedisError as error:
            if not is_outage(error):
                raise
            if not is_away:
                print(f"eventlab: {sentence_of(error)}", file=sys.stderr)
            is_away = True
            stop.wait(WAIT_SECONDS)


def _show(arguments: argparse.Namespace) -> int:
    aggregate = _aggregate(arguments)
    rows: deque[dict[str, Any]] = deque(maxlen=arguments.last)
    lines: deque[str] = deque(maxlen=arguments.last)
    with connect() as lab:
        store = EventStore(lab.redis, arguments.category)
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
    # They import what reads the other categories, which a watch of accounts does not need.
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


def _trace(arguments: argparse.Namespace) -> int:
    categories: list[str] = arguments.category or [CATEGORY]
    with connect() as lab:
        found = trace([EventStore(lab.redis, one) for one in categories], arguments.correlation)
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
            f"no event of {', '.join(categories)} has correlation_id {arguments.correlation!r}"
        )
    return 0
