"""``eventlab backup``: save the events of a category to files."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from eventlab.archive.backup import backup
from eventlab.cli import arguments as options
from eventlab.servers import connect
from eventlab.slices.store import open_store

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands


def add_to(commands: Commands) -> None:
    """Register the ``backup`` command."""
    parser = options.add_command(
        commands,
        "backup",
        _backup,
        "save the events of a category to a folder, even while programs are using the category;"
        " a later run adds new events",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="folder where the files are stored"
    )
    options.add_category(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _backup(arguments: argparse.Namespace) -> int:
    with connect() as lab:
        saved = backup(open_store(lab.redis, arguments.category), arguments.folder)
    if arguments.json:
        print(json.dumps(asdict(saved)))
    else:
        print(f"{saved.new:,} new events, {saved.events:,} in total, up to {saved.position}")
    return 0
