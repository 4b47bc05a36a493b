"""``eventlab forget``: destroy a person's key, which makes their protected fields unreadable."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from eventlab.cli import arguments as options
from eventlab.errors import InvalidName
from eventlab.privacy.person_keys import NAME, Erased, PersonKeys
from eventlab.servers import connect
from eventlab.store.keys import Keys, checked_name

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands


def add_to(commands: Commands) -> None:
    """Register the ``forget`` command."""
    parser = options.add_command(
        commands,
        "forget",
        _forget,
        "destroy a person's key, so that nobody can read the person's protected fields again",
    )
    parser.add_argument(
        "person", metavar="PERSON", type=_person, help="id under which the person's key is stored"
    )
    parser.add_argument(
        "--keys",
        metavar="NAME",
        type=_keys,
        default=NAME,
        help="name under which the keys are stored, in the Redis at EVENTLAB_REDIS_URL"
        " (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _person(text: str) -> str:
    return _checked(text, lambda: checked_name(text, "person"))


def _keys(text: str) -> str:
    return _checked(text, lambda: Keys(text))


def _checked(text: str, check: Callable[[], object]) -> str:
    try:
        check()
    except InvalidName as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _forget(arguments: argparse.Namespace) -> int:
    with connect() as lab:
        erased = PersonKeys(lab.redis, arguments.keys).forget(arguments.person)
    print(json.dumps(asdict(erased)) if arguments.json else text_of(erased))
    return 0


def text_of(erased: Erased) -> str:
    """Return a human-readable report of what was done and what is left to do."""
    if not erased.had_key:
        lines = [f"{erased.person}: no key is stored, and none will be created"]
    else:
        lines = [
            f"{erased.person}: the key is destroyed",
            "Rebuild each view that shows this person: its documents still contain the fields.",
            "Delete the backups that contain the key; you can keep the backups of the events.",
        ]
    if not erased.rewritten:
        lines.append("Redis did not rewrite its append-only file: run BGREWRITEAOF on the server.")
    return "\n".join(lines)
