"""``eventlab ui``: serve a read-only web page with the stored data on a port of 127.0.0.1."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from eventlab import settings
from eventlab.accounts.account import Account
from eventlab.accounts.names import CATEGORY
from eventlab.aggregate import Aggregate
from eventlab.cli import arguments as options
from eventlab.cli.monitoring import NEEDED as NEEDED_TO_SERVE
from eventlab.cli.process import (
    CommandFailed,
    UsageError,
    log_to_stderr,
    require,
    stop_on_signals,
    wait_for,
)
from eventlab.mailroom.names import REAL_NAMES, SANDBOX_NAMES
from eventlab.observe.lag import ViewState, view_states, views_of
from eventlab.servers import Lab, connect

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands
    from eventlab.observe.ui.source import Mailroom, Source

NEEDED: Final = (*NEEDED_TO_SERVE, "jinja2")
PORT: Final = 8445
TIMEOUT_SECONDS: Final = 5.0  # for each call to Redis or MongoDB
MAX_MAILS: Final = 50  # per state


def add_to(commands: Commands) -> None:
    """Register the ``ui`` command."""
    parser = options.add_command(
        commands,
        "ui",
        _ui,
        "serve a read-only web page with events, states, views, subscriptions and emails",
    )
    parser.add_argument(
        "--port",
        type=options.port,
        default=PORT,
        help="port of 127.0.0.1 to listen on, or 0 for any free port; every user of this machine"
        " can read the page (default: %(default)s)",
    )
    parser.add_argument(
        "--category",
        action="append",
        default=[],
        help="also show this category; may be repeated (default: the categories of the accounts and"
        " the mailroom)",
    )
    parser.add_argument(
        "--reader",
        action="append",
        default=[],
        metavar="CATEGORY=MODULE:NAME",
        help="the aggregate class that computes the states of a category; may be repeated (default:"
        " the classes of this package)",
    )


def _ui(arguments: argparse.Namespace) -> int:
    require(NEEDED, "serve")
    from eventlab.accounts.http.admission import Admission
    from eventlab.accounts.http.listener import LOOPBACK
    from eventlab.observe.ui.app import create_ui
    from eventlab.observe.ui.history import LagHistory
    from eventlab.sandbox.serving import Serving

    aggregates = _aggregates(arguments.reader)
    stop = stop_on_signals()
    log_to_stderr(verbose=False)
    with connect(timeout=TIMEOUT_SECONDS) as lab:
        source = _source(lab, [*arguments.category, *aggregates], aggregates)
        with LagHistory(partial(_states, source)) as history:
            # Otherwise, a web page could connect through a host name that resolves to 127.0.0.1.
            app = Admission(create_ui(source, history), LOOPBACK)
            try:
                serving = Serving(app, port=arguments.port)
            except OSError as error:
                raise CommandFailed(
                    f"cannot listen on port {arguments.port} ({error.strerror}): choose another "
                    "port with --port"
                ) from error
            with serving:
                print(f"eventlab ui: {serving.url} (read-only; press Ctrl-C to stop)", flush=True)
                wait_for(stop)
    return 0


def _aggregates(readers: Sequence[str]) -> dict[str, type[Aggregate]]:
    # Imported here, because this module imports the readers of the mailroom's events.
    from eventlab.cli.events_check import READERS, reader_named

    found: dict[str, type[Aggregate]] = {
        category: kind
        for category, known in READERS.items()
        for kind in known
        if isinstance(kind, type)
    }
    found[os.environ.get(settings.CATEGORY) or CATEGORY] = Account
    for reader in readers:
        category, _, name = reader.partition("=")
        kind = reader_named(name) if name else None
        if not (category and isinstance(kind, type)):
            raise UsageError(
                f"--reader {reader!r} must name an Aggregate, such as cartStream=cart:Cart"
            )
        found[category] = kind
    return found


def _source(
    lab: Lab, categories: Sequence[str], aggregates: Mapping[str, Callable[[str], Aggregate]]
) -> Source:
    from eventlab.observe.ui.source import Source

    rooms = [_mailroom(lab, *names) for names in (REAL_NAMES, SANDBOX_NAMES)]
    return Source(lab.redis, lab.mongo, list(dict.fromkeys(categories)), aggregates, rooms)


def _mailroom(lab: Lab, category: str, collection: str) -> Mailroom:
    from eventlab.mailroom.mail_view import counts_by_state
    from eventlab.observe.ui.source import Mailroom

    documents = lab.mongo[collection]

    def mails(state: str) -> list[dict[str, Any]]:
        return list(documents.find({"state": state}).sort("since").limit(MAX_MAILS))

    return Mailroom(category, partial(counts_by_state, documents), mails)


def _states(source: Source) -> Iterator[tuple[str, ViewState]]:
    for category, store in source.stores.items():
        for state in view_states(views_of(store, source.mongo)):
            # A joined view is found in each of its categories, but must be shown only once.
            yield state.follows or category, state
