"""Reads the next batch of a stream while MongoDB stores the current one."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from eventlab.events import Recorded, decode_entry
from eventlab.store.stream import CategoryStream

MAX_BATCH_BYTES: Final = 16_000_000  # of JSON; the event that exceeds this ends the batch
MAX_AGE_SECONDS: Final = 1.0  # after this, events that were read ahead are read again

SizedEvent = tuple[Recorded, int]  # an event, and the size of its JSON in bytes


def batch_of(events: Iterable[SizedEvent], limit: int) -> Iterator[SizedEvent]:
    """Yield up to ``limit`` events, and fewer if they are large."""
    size = 0
    for each in islice(events, limit):
        yield each
        size += each[1]
        if size > MAX_BATCH_BYTES:
            return


class ReadAhead:
    """Returns the events of a stream, and reads the next batch before it is needed.

    ``was_used`` says whether the last events that ``events`` returned had been read ahead.
    """

    def __init__(self, stream: CategoryStream) -> None:
        self._stream = stream
        # The position before the events, the time until which they may be used, and the events.
        self._found: tuple[str, float, list[Recorded]] = ("", 0.0, [])
        self.was_used = False

    def events(self, after: str, limit: int) -> Iterable[Recorded]:
        """Return up to ``limit`` events after a position, and fewer if they are large.

        Events that were read ahead are used only once. If they are needed again, they are read
        again, because they may have changed.
        """
        position, until, events = self._found
        self._found = "", 0.0, []
        self.was_used = bool(events) and position == after and time.monotonic() < until
        return events[:limit] if self.was_used else self._read(after, limit)

    @contextlib.contextmanager
    def reading(self, after: str, limit: int) -> Iterator[Callable[[], None]]:
        """Yield a function that begins to read up to ``limit`` events after a position.

        The events are read in a thread, and the end of the ``with`` block waits for the thread.
        With a limit of 0, the function does nothing.
        """

        def read() -> None:
            # After an error, nothing was read ahead: the next batch reads again, and raises it.
            with contextlib.suppress(Exception):
                events = list(self._read(after, limit))
                self._found = after, time.monotonic() + MAX_AGE_SECONDS, events

        def begin() -> None:
            # A thread cannot start if there are too many, or if the interpreter is ending.
            with contextlib.suppress(RuntimeError):
                if limit:
                    thread.start()

        thread = threading.Thread(target=read, daemon=True)
        try:
            yield begin
        finally:
            if thread.ident is not None:
                thread.join()

    def _read(self, after: str, limit: int) -> Iterator[Recorded]:
        entries = self._stream.entries(after=after, limit=limit)
        sized = ((decode_entry(at, fields), len(fields[b"event"])) for at, fields in entries)
        return (event for event, _ in batch_of(sized, limit))
