"""The processes of the tests, forked from one that has already imported the common modules.

A new interpreter needs more time for its imports than most of them need for their work.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from eventlab.lessons.processes import forkserver

PRELOADED = [
    "hypothesis",
    "pytest",
    "requests",
    "eventlab.accounts.projectors",
    "eventlab.lessons",
    "eventlab.mailroom.router",
    "eventlab.servers.external",
    "tests.support.crash_servers",
    "tests.support.mailroom",
    "tests.support.workload",
]
FORKSERVER = forkserver()  # the pages' programs use the same: there is one in a process
FORKSERVER.set_forkserver_preload(PRELOADED)


def forked(target: Callable[..., None], *args: Any) -> BaseProcess:
    """Return a process that will run ``target(*args)`` with the environment of this moment."""
    return FORKSERVER.Process(target=_run, args=(dict(os.environ), target, args), daemon=True)


def _run(env: dict[str, str], target: Callable[..., None], args: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(env)
    target(*args)
