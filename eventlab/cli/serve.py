"""``eventlab serve``: serve the accounts over HTTP."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from eventlab.cli import arguments as options
from eventlab.cli.process import require

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

NEEDED: Final = ("fastapi", "uvicorn", "prometheus_client")


def add_to(commands: Commands) -> None:
    """Register the ``serve`` command."""
    parser = options.add_command(
        commands, "serve", _serve, "serve the accounts over HTTP until Ctrl-C or SIGTERM"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=options.port,
        default=8444,
        help="port to listen on, or 0 for any free port (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=options.workers,
        default=1,
        metavar="N",
        help="number of worker processes (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help=(
            "also accept requests for this host name, such as the one that a proxy forwards; may "
            "be repeated (default: only loopback names if --host is a loopback address, otherwise "
            "any name)"
        ),
    )
    parser.add_argument(
        "--root-path",
        type=options.root_path,
        default="",
        metavar="PATH",
        help="path prefix that a proxy uses for the service, such as /bank (default: none)",
    )
    options.add_max_lag(parser, "/healthz/views")
    options.add_category_and_collection(parser)


def _serve(arguments: argparse.Namespace) -> int:
    require(NEEDED, "serve")
    from eventlab.accounts.http import server

    server.serve(
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        category=arguments.category,
        collection=arguments.collection,
        allowed_hosts=arguments.allow_host,
        root_path=arguments.root_path,
        max_lag=options.max_lag(arguments),
    )
    return 0
