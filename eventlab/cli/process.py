"""Code that commands share: stop signals, logging, work that must finish, required packages."""

from __future__ import annotations

import importlib.util
import logging
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final, TypeVar

from eventlab.cli import interrupts
from eventlab.errors import EventLabError

#: The interval, in seconds, at which a waiting main thread wakes up to run signal handlers.
WAKE_SECONDS: Final = 0.1

Result = TypeVar("Result")


class CommandFailed(EventLabError):
    """Raised when a command cannot do what it was asked to do."""


class UsageError(CommandFailed):
    """Raised for options that are invalid or contradict each other; the exit status is 2."""


def stop_on_signals() -> threading.Event:
    """Return a ``threading.Event`` that SIGTERM or SIGINT sets, even if the signal came earlier."""
    stop = threading.Event()
    # A handler runs in the main thread, which may be inside ``stop.wait`` and hold its lock. If the
    # handler set the event itself, it would wait for that lock forever. ``put`` needs no lock.
    arrived = queue.SimpleQueue[int]()

    def set_when_one_arrives() -> None:
        arrived.get()
        stop.set()

    threading.Thread(target=set_when_one_arrives, name="stop signals", daemon=True).start()
    for number in interrupts.SIGNALS:
        signal.signal(number, lambda number, _frame: arrived.put(number))
    if interrupts.received:
        stop.set()
    return stop


def wait_for(stop: threading.Event) -> None:
    """Wait in the main thread until ``stop`` is set.

    The wait is a series of short waits, because Python runs signal handlers in the main thread. If
    a signal arrived just before a wait without a timeout, or in another thread, its handler could
    not run until the wait ended.
    """
    while not stop.wait(WAKE_SECONDS):
        pass


def finish(work: Callable[[], Result]) -> Result:
    """Do work that a stop signal must not cut short, and return its result.

    The work runs in another thread, so that the main thread can handle signals in the meantime.
    """
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(work)
        while not done.done():
            wait([done], timeout=WAKE_SECONDS)  # see wait_for
        return done.result()


def log_to_stderr(*, verbose: bool) -> None:
    """Log each change of state to standard error; ``verbose`` adds a line for each batch."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr)
    logging.getLogger("eventlab").setLevel(logging.DEBUG if verbose else logging.INFO)


def require(modules: Sequence[str], *extras: str) -> None:
    """Raise CommandFailed if a module is missing; the message names the extras to install."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise CommandFailed(f"{', '.join(missing)} {verb} not installed: {install(*extras)}")


def install(*extras: str) -> str:
    """Return the command that installs extras of this package, which is not on a package index.

    >>> install("lab")
    "in your clone of eventlab: python -m pip install -e '.[lab]'"
    """
    names = f"[{','.join(extras)}]" if extras else ""
    return f"in your clone of eventlab: python -m pip install -e '.{names}'"
