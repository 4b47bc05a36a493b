"""Support for running a reader's answer: identify its code, locate errors, and limit its time."""

from __future__ import annotations

import contextlib
import linecache
import signal
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

#: The interval in seconds at which an answer is interrupted after its time limit, until it ends.
#: Code that catches every exception is sooner or later interrupted outside its ``try``.
AGAIN: Final = 0.05
#: The module that calls the judge, which is the function that checks an answer.
CHECK: Final = "eventlab.lessons.exercise"


class TookTooLong(BaseException):
    """Raised when an answer exceeds its time limit.

    This class is not an Exception, because an answer may catch every Exception in a loop.
    """


def files_of(answer: Any) -> frozenset[str]:
    """Return the files that contain the source of an answer, which is a function or a class."""
    parts = vars(answer).values() if isinstance(answer, type) else (answer,)
    codes = (getattr(part, "__code__", None) for part in parts)
    return frozenset(code.co_filename for code in codes if code is not None)


def line_of(error: BaseException | None, files: frozenset[str]) -> str:
    """Return the line of the answer that raised an error, or an empty string.

    >>> line_of(ValueError("never raised"), frozenset())
    ''
    """
    if error is None:
        return ""
    theirs = [
        (frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if _is_theirs(frame.f_code.co_filename, files)
    ]
    return _line(*theirs[-1]) if theirs else ""


@contextlib.contextmanager
def time_limit(seconds: float, files: frozenset[str]) -> Iterator[None]:
    """Raise TookTooLong in an answer that is still running after this many seconds.

    The exception is raised only while a line of the answer is running, so that the judge can always
    clean up. There is no limit outside the main thread or on a system without interval timers.
    """
    if not hasattr(signal, "setitimer") or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        while frame is not None and not _is_theirs(frame.f_code.co_filename, files):
            frame = frame.f_back
            # Do not search beyond ``CHECK``, because its caller is in the same cell as the answer.
            if frame is not None and frame.f_globals.get("__name__") == CHECK:
                return
        if frame is not None:
            where = _line(frame.f_code.co_filename, frame.f_lineno)
            raise TookTooLong(
                f"your code did not finish within {seconds:g} seconds, and was stopped in {where}. "
                "What condition should end its loop, or what is it waiting for?"
            )

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_theirs(file: str, files: frozenset[str]) -> bool:
    # A helper of the answer may be in another cell. Code run by exec has the file "<string>".
    return file in files or "ipykernel_" in file or file == "<string>"


def _line(file: str, number: int) -> str:
    text = linecache.getline(file, number).strip()
    return f"line {number}: {text}" if text else f"line {number}"
