"""``eventlab restore``: write the events of a backup into an empty category."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from eventlab.archive.parts import read_parts
from eventlab.archive.restore import restore
from eventlab.cli import arguments as options
from eventlab.servers import connect
from eventlab.store.keys import SLICES
from eventlab.store.store import EventStore

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands


def add_to(commands: Commands) -> None:
    """Register the ``restore`` command."""
    parser = options.add_command(
        commands,
        "restore",
        _restore,
        "write the events of a backup into an empty category",
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder of the backup")
    options.add_category(parser)
    parser.add_argument(
        "--check", action="store_true", help="only read and check the backup, and exit"
    )


def _restore(arguments: argparse.Namespace) -> int:
    if arguments.check:
        count = sum(part.footer.events for part in read_parts(arguments.folder))
        print(f"the backup is intact: {count:,} events")
        return 0
    with connect() as lab:
        # An empty category has no slice count yet, so it gets the slice count of the backup.
        slices = SLICES if (arguments.folder / "0").is_dir() else 1
        store = EventStore(lab.redis, arguments.category, slices=slices)
        count = restore(store, arguments.folder)
    print(
        f"{count:,} events restored. Rebuild the views (eventlab project --rebuild NAME); "
        "subscriptions start again at the first event"
    )
    return 0
