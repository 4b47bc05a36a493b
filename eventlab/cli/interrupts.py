"""Ctrl-C and SIGTERM while a command starts: it cleans up and ends, without a traceback.

It imports only what Python has loaded anyway, so that it takes effect early.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final, NoReturn

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

#: The signals that have arrived since the start. An import may swallow KeyboardInterrupt.
received: list[int] = []


def handle() -> None:
    """Make Ctrl-C or SIGTERM end the program after cleanup; a second one ends it immediately.

    Both arrive as KeyboardInterrupt.
    """
    show = sys.unraisablehook

    def show_unless_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised in a finalizer, after printing its traceback.
        if unraisable.exc_type is KeyboardInterrupt:
            leave_at_once(signal.SIGINT)
        show(unraisable)

    sys.unraisablehook = show_unless_interrupted
    for number in SIGNALS:
        # In a background job of a shell, Ctrl-C is ignored, and stays ignored.
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, _interrupt)


def handle_no_more() -> None:
    """From now on, a signal ends the process immediately, without a traceback at shutdown."""
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
