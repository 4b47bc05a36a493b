"""The mailroom's commands: ``eventlab route`` and ``eventlab sandbox``."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo.errors import PyMongoError

from eventlab.cli import project
from eventlab.errors import EventLabError
from eventlab.mailroom.settings import REAL_NAMES, SANDBOX_NAMES, Settings
from eventlab.mailroom.variables import GMAIL_ENDPOINT, VARIABLES
from eventlab.projections.projector import Projector
from eventlab.servers import Lab, connect
from eventlab.store.store import EventStore

if TYPE_CHECKING:
    from eventlab.mailroom.router import Router
    from eventlab.mailroom.summary import Summary
    from eventlab.mailroom.work_item import WorkItem

NEEDED = ("requests", "googleapiclient", "google_auth_oauthlib")
NEEDED_BY_THE_SANDBOX = ("fastapi", "uvicorn", "nh3")
EVERY = 30.0

Result = TypeVar("Result")
Add = Callable[..., argparse.ArgumentParser]


class CannotRoute(EventLabError):
    """The mailroom cannot work here as it is."""


def add_to(commands: Any, add: Add) -> None:
    """Add the commands to the command line; ``add`` makes a parser as all commands have it.

    Example: ``add_to(commands, _add)``
    """
    route = add(
        commands, "route", _route, "take each mail of a Gmail inbox to CXone as a work item, once"
    )
    how = route.add_mutually_exclusive_group()
    how.add_argument(
        "--once",
        action="store_true",
        help="one round, then its summary (what is done if nothing is said)",
    )
    how.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=EVERY,
        metavar="SECONDS",
        help="a round every so often (30), until Ctrl-C",
    )
    how.add_argument(
        "--held",
        action="store_true",
        help="list what is held, in doubt, refused, or before its deadline",
    )
    how.add_argument(
        "--resend", metavar="ID", help="send this mail once more: CXone may have it already"
    )
    how.add_argument("--confirm", metavar="ID", help="CXone has this mail: nothing is sent")
    route.add_argument(
        "--contact", metavar="ID", help="with --confirm: the contact id that it has there"
    )
    route.add_argument("--label", metavar="NAME", help="put this label on what was routed")
    route.add_argument(
        "--sandbox",
        action="store_true",
        help="with stand-ins for both, and sample mail: needs no settings",
    )
    route.add_argument(
        "--consent",
        choices=["browser", "link", "paste-back"],
        default="browser",
        help="how to ask for consent, if there is no token file: open a browser (default), print a link for one on "
        "this machine, or for one elsewhere, and ask for the address that it ends at",
    )
    route.add_argument(
        "--category",
        help=f"the events (default: {REAL_NAMES[0]}; {SANDBOX_NAMES[0]} for stand-ins)",
    )
    route.add_argument(
        "--collection",
        help=f"the view of the mailroom (default: {REAL_NAMES[1]}; {SANDBOX_NAMES[1]})",
    )
    route.add_argument("--verbose", action="store_true", help="log more")
    route.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, VARIABLES))
    route.epilog = "environment variables:\n" + "\n".join(
        f"  {name:<{width}}  {variable}" for name, variable in VARIABLES.items()
    )
    sandbox = add(
        commands,
        "sandbox",
        _sandbox,
        "serve the stand-ins for Gmail and CXone, until Ctrl-C or a SIGTERM",
    )
    sandbox.add_argument(
        "--gmail-port", type=int, default=0, metavar="PORT", help="serve Gmail there (default: any)"
    )
    sandbox.add_argument(
        "--cxone-port", type=int, default=0, metavar="PORT", help="serve CXone there (default: any)"
    )


# -------------------------------------------------------------------------------------------------------- route


def _route(arguments: argparse.Namespace) -> int:
    _must_have(NEEDED + (NEEDED_BY_THE_SANDBOX if arguments.sandbox else ()))
    project.log_to_stderr(verbose=arguments.verbose)
    if arguments.contact and not arguments.confirm:
        raise CannotRoute("--contact goes with --confirm")
    with ExitStack() as closing:
        if arguments.held or arguments.confirm:
            # Neither Gmail nor CXone is asked, so no settings are needed.
            lab, store, collection = _open(
                arguments, SANDBOX_NAMES if _is_sandbox(arguments) else REAL_NAMES, closing
            )
            if arguments.held:
                print(held(store))
                return 0
            print(_confirm(store, arguments.confirm, arguments.contact))
            _show(lab, store, collection)
            return 0
        settings = closing.enter_context(_settings(arguments))
        lab, store, collection = _open(arguments, settings.names, closing)
        try:
            router = closing.enter_context(_router(arguments, settings, store))
        except KeyboardInterrupt:
            raise CannotRoute("interrupted, before any mail was looked at") from None
        stop = _stopped_by_signals()
        if arguments.watch is not None:
            return _watch(router, arguments.watch, stop, lambda: _show(lab, store, collection))
        summary = _finishing(
            lambda: router.resend(arguments.resend) if arguments.resend else router.run_once(stop)
        )
        print(summary)
        _show(lab, store, collection)
        return 1 if summary.problem else 0


def _is_sandbox(arguments: argparse.Namespace) -> bool:
    from eventlab.mailroom.urls import is_loopback

    return bool(arguments.sandbox) or is_loopback(os.environ.get(GMAIL_ENDPOINT, ""))


def _open(
    arguments: argparse.Namespace, names: tuple[str, str], closing: ExitStack
) -> tuple[Lab, EventStore, str]:
    lab = closing.enter_context(connect())
    return (
        lab,
        EventStore(lab.redis, arguments.category or names[0]),
        arguments.collection or names[1],
    )


@contextmanager
def _settings(arguments: argparse.Namespace) -> Iterator[Settings]:
    if not arguments.sandbox:
        yield Settings.from_environment(os.environ)
        return
    from eventlab.sandbox.fakes import Fakes

    print(
        f"stand-ins for Gmail and CXone, with sample mail; events in {arguments.category or SANDBOX_NAMES[0]}",
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

    asking: Any = {"browser": True, "link": False, "paste-back": "paste-back"}[arguments.consent]
    credentials = authorize(
        settings.gmail_client or "",
        settings.gmail_token,
        modify=arguments.label is not None,
        browser=asking,
        say=lambda text: print(text, file=sys.stderr),
    )
    with (
        GmailClient(credentials, endpoint=settings.gmail_endpoint) as gmail,
        CXoneClient(settings.cxone) as cxone,
    ):
        yield Router(
            store, gmail, cxone, label=arguments.label, automatic_type=settings.automatic_type
        )


def _watch(router: Router, every: float, stop: threading.Event, show: Callable[[], None]) -> int:
    if every <= 0:
        raise CannotRoute("--watch: give a number of seconds above 0")

    def tell(summary: Summary) -> None:
        print(summary, flush=True)
        show()

    _finishing(lambda: router.watch(stop, every, tell))
    return 0


def _finishing(work: Callable[[], Result]) -> Result:
    """Work in a thread, so that a signal is heard at once, and what is under way is finished all the same."""
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(work)
        while not done.done():
            wait([done], timeout=0.1)  # a wait without end would keep the signals waiting
        return done.result()


def _stopped_by_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def _show(lab: Lab, store: EventStore, collection: str) -> None:
    """Bring the view up to date; it is derived from the events, so a failure here is said and harms nothing."""
    from eventlab.mailroom.mail_view import MailView

    try:
        with Projector(store, lab.mongo, MailView(collection)) as projector:
            while projector.run_once():
                pass
    except (EventLabError, PyMongoError) as error:
        print(f"eventlab: the view {collection} is behind: {error}", file=sys.stderr)


def _confirm(store: EventStore, id: str, contact_id: str | None) -> str:
    from eventlab.mailroom.router import confirm
    from eventlab.mailroom.work_items import Ledger

    confirm(Ledger(store), id, contact_id)
    return f"mail {id}: confirmed" + (f", contact {contact_id}" if contact_id else "")


def held(store: EventStore) -> str:
    """What a person may have to decide about: a line each, the oldest first.

    Example: ``print(held(EventStore(lab.redis, "mailStream")))``
    """
    from eventlab.mailroom.durability import Disk
    from eventlab.mailroom.worklist import Worklist

    worklist, now = Worklist(store), Disk(store).now()
    worklist.refresh()
    lines = [_line(item, now) for item in worklist.of("in_doubt", "held", "refused", "submitting")]
    return "\n".join(lines) or "nothing is held, in doubt, refused or before its deadline"


def _line(item: WorkItem, now: int) -> str:
    status, reason = item.status.replace("_", " "), item.reason
    if item.status == "submitting":
        left = (item.deadline - now) // 1000
        reason = (
            f"router {item.router} is sending it; its deadline is in {left} s"
            if left > 0
            else (
                f"router {item.router} was sending it, and its deadline is over: the next round will hold it in doubt"
            )
        )
    return f"{item.id:<18} {status:<10} {item.domain or '-':<24} {reason}"


# ------------------------------------------------------------------------------------------------------ sandbox


def _sandbox(arguments: argparse.Namespace) -> int:
    _must_have(NEEDED + NEEDED_BY_THE_SANDBOX)
    from eventlab.sandbox.fakes import Fakes

    stop = _stopped_by_signals()
    with Fakes(gmail_port=arguments.gmail_port, cxone_port=arguments.cxone_port) as both:
        print(
            f"# Gmail {both.gmail_url}\n# CXone {both.cxone_url}\n# for another terminal, then eventlab route --once:"
        )
        for name, value in both.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        stop.wait()
    return 0


def _must_have(modules: tuple[str, ...]) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotRoute(
            f"{', '.join(missing)} cannot be found: python -m pip install 'eventlab[mailroom,serve]'"
        )
