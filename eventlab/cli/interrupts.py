"""Handle Ctrl-C and SIGTERM while a command starts: clean up and exit without a traceback.

This module imports only modules that Python has already loaded, so that the handlers are
installed early.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final, NoReturn

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

#: The signals received so far, recorded because an import may swallow KeyboardInterrupt.
received: list[int] = []


def handle() -> None:
    """Make Ctrl-C or SIGTERM end the program after cleanup; a second signal skips the cleanup.

    The first signal raises KeyboardInterrupt.
    """
    show = sys.unraisablehook

    def show_unless_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
        # Python discards an exception raised in a finalizer, after printing its traceback.
        if unraisable.exc_type is KeyboardInterrupt:
            leave_at_once(signal.SIGINT)
        show(unraisable)

    sys.unraisablehook = show_unless_interrupted
    for number in SIGNALS:
        # A background job of a shell ignores Ctrl-C and must keep ignoring it.
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, _interrupt)


def handle_no_more() -> None:
    """Make every later signal end the process immediately, without a traceback at shutdown."""
    for number in SIGNALS:
        signal.signal(number, leave_at_once)


def status() -> int:
    """Return the exit status of a program that was interrupted.

    >>> status()
    130
    """
    return 128 + (received[0] if received else signal.SIGINT)


def leave_at_once(number: int, _frame: object = None) -> NoReturn:
    """End the process without cleanup."""
    os._exit(128 + number)


def _interrupt(number: int, _frame: object) -> NoReturn:
    received.append(number)
    for each in SIGNALS:
        signal.signal(each, leave_at_once)
    raise KeyboardInterrupt
