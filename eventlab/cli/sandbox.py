"""``eventlab sandbox``: run the fake Gmail and CXone servers in a terminal of their own."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, Final

from eventlab.cli import arguments as options
from eventlab.cli.process import CommandFailed, require, stop_on_signals, wait_for
from eventlab.cli.route import NEEDED as NEEDED_TO_ROUTE
from eventlab.cli.route import NEEDED_BY_SANDBOX

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

NEEDED: Final = (*NEEDED_TO_ROUTE, *NEEDED_BY_SANDBOX)


def add_to(commands: Commands) -> None:
    """Register the ``sandbox`` command."""
    parser = options.add_command(
        commands,
        "sandbox",
        _sandbox,
        "run the fake servers for Gmail and CXone until Ctrl-C or SIGTERM",
    )
    for name in ("Gmail", "CXone"):
        parser.add_argument(
            f"--{name.lower()}-port",
            type=options.port,
            default=0,
            metavar="PORT",
            help=f"port of 127.0.0.1 for {name} (default: 0, any free port)",
        )


def _sandbox(arguments: argparse.Namespace) -> int:
    require(NEEDED, "mailroom", "serve")
    from eventlab.sandbox.fakes import Fakes

    stop = stop_on_signals()
    try:
        both = Fakes(gmail_port=arguments.gmail_port, cxone_port=arguments.cxone_port)
    except OSError as error:
        raise CommandFailed(
            f"cannot start the fake servers ({error.strerror}): choose other ports with "
            "--gmail-port and --cxone-port"
        ) from error
    with both:
        print(f"# Gmail {both.gmail_url}")
        print(f"# CXone {both.cxone_url}")
        print("# run these in another terminal, then eventlab route --once:")
        for name, value in both.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        wait_for(stop)
    return 0
