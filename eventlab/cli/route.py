"""``eventlab route``: send the emails in a Gmail inbox to CXone, and resolve held emails."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from eventlab.cli import arguments as options
from eventlab.cli.mail_view import mail_metrics_of, update_view
from eventlab.cli.monitoring import monitored
from eventlab.cli.process import (
    CommandFailed,
    UsageError,
    finish,
    log_to_stderr,
    require,
    stop_on_signals,
)
from eventlab.mailroom.names import REAL_NAMES, SANDBOX_NAMES, default_names
from eventlab.mailroom.variables import VARIABLES
from eventlab.servers import Lab, connect
from eventlab.store.store import EventStore

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands
    from eventlab.mailroom.router import Router
    from eventlab.mailroom.settings import Settings
    from eventlab.mailroom.summary import Summary

NEEDED: Final = ("requests", "googleapiclient", "google_auth_oauthlib", "lxml", "webencodings")
NEEDED_BY_SANDBOX: Final = ("fastapi", "uvicorn", "nh3")
WATCH_SECONDS: Final = 30.0
#: The maximum number of emails older than a day that the first round routes without ``--since``.
MAX_OLD: Final = 100
NOTHING_HELD: Final = "no email is held, in doubt, refused or being sent"
#: For each value of ``--consent``, how ``authorize`` asks for consent.
CONSENT: Final[dict[str, Any]] = {"browser": True, "link": False, "paste-back": "paste-back"}


def add_to(commands: Commands) -> None:
    """Register the ``route`` command."""
    parser = options.add_command(
        commands, "route", _route, "send each email in a Gmail inbox to CXone as one work item"
    )
    _add_actions(parser)
    options.add_metrics(parser, "200 while the router runs")
    parser.add_argument(
        "--contact", metavar="ID", help="with --confirm: the contact id of the email in CXone"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the summary or the --held list as JSON"
    )
    parser.add_argument(
        "--label",
        type=options.label,
        metavar="NAME",
        help="Gmail label to add to each routed email, and to the email that --confirm names "
        "(default: none)",
    )
    parser.add_argument(
        "--since",
        type=options.day,
        metavar="DATE",
        help="first day, in UTC, whose emails become work items; later rounds use the same day"
        f" (default: all emails, but the first round stops if more than {MAX_OLD} are older than a"
        " day)",
    )
    parser.add_argument(
        "--sandbox",
        action="store_true",
        help="use fake servers for Gmail and CXone, with sample emails; needs no settings",
    )
    parser.add_argument(
        "--consent",
        choices=list(CONSENT),
        default="browser",
        help="how to ask for consent if there is no token file: open a browser, print a link for a"
        " browser on this machine, or print a link for a browser elsewhere and ask for the final"
        " address (default: %(default)s)",
    )
    parser.add_argument(
        "--category",
        help=f"category of the events (default: {REAL_NAMES[0]}, or {SANDBOX_NAMES[0]} for fake"
        " servers)",
    )
    parser.add_argument(
        "--collection",
        type=options.collection,
        help=f"collection of the mailroom's view (default: {REAL_NAMES[1]}, or {SANDBOX_NAMES[1]})",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="log details (default: log state changes)"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, VARIABLES))
    parser.epilog = "environment variables:\n" + "\n".join(
        f"  {name:<{width}}  {variable}" for name, variable in VARIABLES.items()
    )


def _add_actions(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--once",
        action="store_true",
        help="run one round, print its summary, and exit (default)",
    )
    action.add_argument(
        "--watch",
        type=options.seconds,
        nargs="?",
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"run a round every SECONDS (default: {WATCH_SECONDS:g}) until Ctrl-C or SIGTERM",
    )
    action.add_argument(
        "--held",
        action="store_true",
        help="list the emails that are held, in doubt, refused or being sent, and exit",
    )
    action.add_argument(
        "--resend",
        metavar="ID",
        help="send this email again, even if CXone may already have it, and exit",
    )
    action.add_argument(
        "--confirm", metavar="ID", help="record that CXone has this email, send nothing, and exit"
    )


def _route(arguments: argparse.Namespace) -> int:
    if arguments.contact is not None and arguments.confirm is None:
        raise UsageError("--contact needs --confirm")
    if arguments.json and arguments.confirm is not None:
        raise UsageError("--json has no effect with --confirm")
    if arguments.metrics is not None and arguments.watch is None:
        raise UsageError("--metrics needs --watch")
    # Processes started here, such as the private servers, may outlive this command, so they must
    # get no secrets.
    env = dict(os.environ)
    for name in VARIABLES:
        os.environ.pop(name, None)
    extras = ("mailroom", "serve") if arguments.sandbox else ("mailroom",)
    require(NEEDED + (NEEDED_BY_SANDBOX if arguments.sandbox else ()), *extras)
    log_to_stderr(verbose=arguments.verbose)
    with ExitStack() as closing:
        labels = arguments.label is not None
        if arguments.held or (arguments.confirm is not None and not labels):
            # These options contact neither Gmail nor CXone, so they need no settings.
            names = default_names(env, sandbox=arguments.sandbox)
            lab, store, collection = _open(arguments, names, closing)
            if arguments.held:
                print(_held(store, as_json=arguments.json))
                return 0
            print(_confirm(store, arguments.confirm, arguments.contact))
            update_view(lab, store, collection)
            return 0
        settings = closing.enter_context(_settings(arguments, env))
        lab, store, collection = _open(arguments, settings.names, closing)
        try:
            router = closing.enter_context(_router(arguments, settings, store))
        except KeyboardInterrupt:
            raise CommandFailed("interrupted before any email was read") from None
        stop = stop_on_signals()
        if arguments.watch is not None:
            counting = partial(mail_metrics_of, lab, store, collection)
            with monitored(arguments.metrics, counting, list):
                return _watch(router, arguments, stop, lambda: update_view(lab, store, collection))
        if arguments.confirm is not None:
            router.confirm(arguments.confirm, arguments.contact)
            print(_confirmed(arguments.confirm, arguments.contact))
            update_view(lab, store, collection)
            return 0
        if arguments.resend is not None:
            summary = finish(lambda: router.resend(arguments.resend))
        else:
            summary = finish(lambda: router.run_once(stop))
        print(_shown(summary, as_json=arguments.json))
        update_view(lab, store, collection)
        return 1 if summary.problem else 0


def _open(
    arguments: argparse.Namespace, names: tuple[str, str], closing: ExitStack
) -> tuple[Lab, EventStore, str]:
    lab = closing.enter_context(connect())
    store = EventStore(lab.redis, arguments.category or names[0])
    return lab, store, arguments.collection or names[1]


@contextmanager
def _settings(arguments: argparse.Namespace, env: Mapping[str, str]) -> Iterator[Settings]:
    from eventlab.mailroom.settings import Settings

    if not arguments.sandbox:
        yield Settings.from_environment(env)
        return
    from eventlab.sandbox.fakes import Fakes

    category = arguments.category or SANDBOX_NAMES[0]
    print(
        f"fake servers for Gmail and CXone, with sample emails; events in {category}",
        file=sys.stderr,
    )
    with Fakes() as both:
        yield both.settings()


@contextmanager
def _router(
    arguments: argparse.Namespace, settings: Settings, store: EventStore
) -> Iterator[Router]:
    from eventlab.mailroom.cxone.client import CXoneClient
    from eventlab.mailroom.gmail.client import GmailClient
    from eventlab.mailroom.gmail.credentials import authorize
    from eventlab.mailroom.router import Router

    credentials = authorize(
        settings.gmail_client or "",
        settings.gmail_token,
        modify=arguments.label is not None,
        browser=CONSENT[arguments.consent],
        say=lambda text: print(text, file=sys.stderr),
    )
    with (
        GmailClient(credentials, endpoint=settings.gmail_endpoint) as gmail,
        CXoneClient(settings.cxone) as cxone,
    ):
        yield Router(
            store,
            gmail,
            cxone,
            label=arguments.label,
            automatic_type=settings.automatic_type,
            selection=settings.selection,
            since=arguments.since,
            max_old=None if settings.is_trial else MAX_OLD,
        )


def _watch(
    router: Router,
    arguments: argparse.Namespace,
    stop: threading.Event,
    update_view: Callable[[], None],
) -> int:
    def tell(summary: Summary) -> None:
        print(_shown(summary, as_json=arguments.json), flush=True)
        update_view()

    finish(lambda: router.watch(stop, arguments.watch, tell))
    return 0


def _shown(summary: Summary, *, as_json: bool) -> str:
    return json.dumps(asdict(summary)) if as_json else str(summary)


def _held(store: EventStore, *, as_json: bool) -> str:
    from eventlab.mailroom.held import held_mails

    mails = held_mails(store)
    if as_json:
        return json.dumps([asdict(mail) for mail in mails], indent=2)
    return "\n".join(map(str, mails)) or NOTHING_HELD


def _confirm(store: EventStore, id: str, contact_id: str | None) -> str:
    from eventlab.mailroom.router import confirm

    confirm(store, id, contact_id)
    return _confirmed(id, contact_id)


def _confirmed(id: str, contact_id: str | None) -> str:
    return f"email {id}: confirmed" + (f", contact {contact_id}" if contact_id else "")
