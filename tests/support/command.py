"""Run ``eventlab`` as a process of its own, as a user does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from tests.support.warm import warm


def start(*words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command; Ctrl-C works in it even if this process ignores it."""
    return subprocess.Popen(
        [sys.executable, "-m", "eventlab", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ if env is None else env),
        preexec_fn=default_interrupt,
    )


def run(*words: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end; return its exit status, standard output and standard error."""
    status, out, error = warm().run(words, os.environ if env is None else env)
    assert "Traceback" not in error, error
    return status, out, error


def default_interrupt() -> None:
    """Let Ctrl-C work in a child process, even if this process ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
