"""``eventlab serve``: the accounts over HTTP."""

from __future__ import annotations

import argparse
import socket
from typing import TYPE_CHECKING, Final

from eventlab.cli import arguments as options
from eventlab.cli.process import CommandFailed, require

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands

NEEDED: Final = ("fastapi", "uvicorn")


def add_to(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = options.add_command(
        commands, "serve", _serve, "serve the accounts over HTTP until Ctrl-C or SIGTERM"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=options.port, default=8444, help="port to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=options.workers,
        default=1,
        metavar="N",
        help="number of worker processes (default: %(default)s)",
    )
    options.add_category_and_collection(parser)


def _serve(arguments: argparse.Namespace) -> int:
    require(NEEDED, "serve")
    _check_address(arguments.host, arguments.port)
    from eventlab.accounts.http import server

    server.serve(
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        category=arguments.category,
        collection=arguments.collection,
    )
    return 0


def _check_address(host: str, port: int) -> None:
    """Raise CommandFailed for an address that no server can listen on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a host name"
        raise CommandFailed(
            f"cannot listen on {host!r}, port {port} ({reason}): choose another --host or --port"
        ) from error
