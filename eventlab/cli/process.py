"""What all commands share: stop signals, logging, work that must finish, and packages they need."""

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

#: How often a waiting main thread wakes up to run signal handlers, in seconds.
WAKE_SECONDS: Final = 0.1

Result = TypeVar("Result")


class CommandFailed(EventLabError):
    """A command cannot do what it was asked to do."""


class UsageError(CommandFailed):
    """Options that are valid one by one but contradict each other; the exit status is 2."""


def stop_on_signals() -> threading.Event:
    """Return an event that is set by SIGTERM or SIGINT, even if one has already arrived."""
    stop = threading.Event()
    # A handler runs in the main thread, which may be in the middle of ``stop.wait`` and hold its
    # lock: a handler that set the event would wait for that lock forever. ``put`` needs no lock.
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
    """Wait until the event is set, in the main thread.

    It wakes up regularly, because Python runs signal handlers in the main thread. If a signal
    arrived just before the wait, or in another thread, a wait without a timeout would delay its
    handler until the end.
    """
    while not stop.wait(WAKE_SECONDS):
        pass


def finish(work: Callable[[], Result]) -> Result:
    """Return the result of work that a stop signal must not cut short.

    It runs in a thread, so that the main thread can handle signals while it runs.
    """
    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(work)
        while not done.done():
            wait([done], timeout=WAKE_SECONDS)  # see wait_for
        return done.result()


def log_to_stderr(*, verbose: bool) -> None:
    """Log each change of state to standard error; with ``verbose``, each batch as well."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr)
    logging.getLogger("eventlab").setLevel(logging.DEBUG if verbose else logging.INFO)


def require(modules: Sequence[str], *extras: str) -> None:
    """Raise CommandFailed, naming the extras to install, if one of the modules is missing."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise CommandFailed(f"{', '.join(missing)} {verb} not installed: {install(*extras)}")


def install(*extras: str) -> str:
    """Return the command that installs extras of this package, which is on no package index.

    >>> install("lab")
    "in your clone of eventlab: python -m pip install -e '.[lab]'"
    """
    names = f"[{','.join(extras)}]" if extras else ""
    return f"in your clone of eventlab: python -m pip install -e '.{names}'"
