"""``eventlab watch``: print the events of a category as they are appended."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from eventlab.cli import arguments as options
from eventlab.cli.process import stop_on_signals
from eventlab.cli.text import sentence_of
from eventlab.errors import CorruptEvent, InvalidArgument
from eventlab.events import Recorded
from eventlab.observe.printing import event_row, event_text, printable, time_text
from eventlab.servers import connect
from eventlab.slices.store import open_store
from eventlab.store.answers import is_outage
from eventlab.store.keys import checked_position, order
from eventlab.store.store import EventStore

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

PAGE: Final = 1000
WAIT_SECONDS: Final = 0.5


def add_to(commands: Commands) -> None:
    """Register the ``watch`` command."""
    parser = options.add_command(
        commands, "watch", _watch, "print the new events of a category until Ctrl-C or SIGTERM"
    )
    options.add_category(parser)
    parser.add_argument("--id", help="print only the events of this aggregate (default: all)")
    parser.add_argument(
        "--after",
        metavar="POSITION",
        type=_position,
        help="begin after this position; 0-0 is the beginning (default: the newest event)",
    )
    parser.add_argument(
        "--once", action="store_true", help="exit at the newest event (default: wait for more)"
    )
    options.add_json(parser)


def _position(text: str) -> str:
    try:
        return checked_position(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _watch(arguments: argparse.Namespace) -> int:
    stop = stop_on_signals()
    with connect() as lab:
        store = open_store(lab.redis, arguments.category)
        starts = [
            (part, part.head() if arguments.after is None else arguments.after)
            for part in store.all_slices()
        ]
        for event in _tail(store, starts, stop, once=arguments.once):
            if arguments.id in (None, event.id):
                text = f"{time_text(event)} {event_text(event)}"
                print(json.dumps(event_row(event)) if arguments.json else text, flush=True)
    return 0


def _tail(
    store: EventStore,
    starts: Iterable[tuple[EventStore, str]],
    stop: threading.Event,
    *,
    once: bool,
) -> Iterator[Recorded]:
    """Yield the events of each slice after the slice's start position until ``stop`` is set.

    During an outage of Redis, print the error once and keep trying.
    """
    after = dict(starts)
    is_away = False
    while not stop.is_set():
        count = 0
        try:
            for part in after:
                for event in part.read_all(after=after[part], limit=PAGE):
                    after[part] = event.position
                    count += 1
                    yield event
                    if stop.is_set():
                        return
            if count == 0 and once:
                return
            is_away = False
            if count == 0:
                store.wait(after=max(after.values(), key=order), seconds=WAIT_SECONDS)
        except CorruptEvent as error:
            print(f"eventlab: {printable(str(error))}", file=sys.stderr)
            after[part] = error.where
        except RedisError as error:
            if not is_outage(error):
                raise
            if not is_away:
                print(f"eventlab: {sentence_of(error)}", file=sys.stderr)
            is_away = True
            stop.wait(WAIT_SECONDS)
