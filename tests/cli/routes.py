"""Run ``eventlab`` with given settings of the mailroom, and with no others."""

from __future__ import annotations

import os
import subprocess

from eventlab.mailroom.variables import VARIABLES
from tests.support import command


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of this process, with these settings of the mailroom and no others."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES} | settings


def start(*words: str, **settings: str) -> subprocess.Popen[str]:
    return command.start(*words, env=environment(**settings))


def run(*words: str, **settings: str) -> tuple[int, str, str]:
    return command.run(*words, env=environment(**settings))
