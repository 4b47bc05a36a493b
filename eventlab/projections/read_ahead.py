"""Reads and folds the next batch of a stream while MongoDB stores the current one."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import Final

from eventlab.events import Recorded
from eventlab.projections.view import Changes, View

MAX_BATCH_BYTES: Final = 16_000_000  # of JSON; the event that exceeds this ends the batch
MAX_AGE_SECONDS: Final = 1.0  # after this, events that were read ahead are read again

SizedEvent = tuple[Recorded, int]  # an event, and the size of its JSON in bytes
#: Events, the changes of those already folded, and the number of folded events.
Batch = tuple[list[Recorded], Changes, int]


def batch_of(events: Iterable[SizedEvent], limit: int) -> Iterator[SizedEvent]:
    """Yield up to ``limit`` events, and fewer if they are large."""
    size = 0
    for each in islice(events, limit):
        yield each
        size += each[1]
        if size > MAX_BATCH_BYTES:
            return


class ReadAhead:
    """Keeps the events of the next batch, and the changes of those that are already folded.

    ``read(after, limit)`` yields up to ``limit`` events after a position.
    """

    def __init__(self, read: Callable[[str, int], Iterable[Recorded]], view: View) -> None:
        self._read = read
        self._view = view
        # The position before the batch, the time until which it may be used, and the batch.
        self._found: tuple[str, float, Batch] = ("", 0.0, ([], Changes(), 0))

    def take(self, after: str, limit: int) -> Batch | None:
        """Return the batch after a position, with up to ``limit`` events.

        Returns None if no such batch was read ahead, if it is too old, or if more than ``limit`` of
        its events are folded. A batch is returned only once. After that, its events are read again,
        because they may have changed.
        """
        position, until, (events, changes, folded) = self._found
        self._found = ("", 0.0, ([], Changes(), 0))
        if not events or position != after or folded > limit or time.monotonic() > until:
            return None
        return events[:limit], changes, folded

    def during(self, commit: Callable[[Event], bool | None], after: str, limit: int) -> bool | None:
        """Call ``commit`` in a thread; meanwhile, read and fold up to ``limit`` events.

        The reading begins after the position ``after`` when ``commit`` sets its argument, and the
        folding stops when ``commit`` ends. The view's code always runs in the caller's thread. If
        ``limit`` is 0 or no thread can start, ``commit`` runs in the caller's thread, too, and
        nothing is read ahead. Returns the result of ``commit``, or raises its error.
        """
        begun = Event()
        if not limit:
            return commit(begun)
        with ThreadPoolExecutor(max_workers=1) as pool:  # its end waits, even after Ctrl-C
            try:
                # The context holds the time limit of `with pymongo.timeout(...)`.
                committed = pool.submit(contextvars.copy_context().run, commit, begun)
            except RuntimeError:  # there are too many threads, or the interpreter is ending
                return commit(begun)
            ended = Event()
            committed.add_done_callback(lambda _: ended.set())
            committed.add_done_callback(lambda _: begun.set())
            begun.wait()
            batch: Batch = ([], Changes(), 0)
            # After an error, nothing is kept. The next batch is read again, and raises the error.
            with contextlib.suppress(Exception):
                if not ended.is_set():
                    batch = self._next(after, limit, ended)
            ended.wait()
        self._found = after, time.monotonic() + MAX_AGE_SECONDS, batch
        return committed.result()

    def _next(self, after: str, limit: int, ended: Event) -> Batch:
        events = list(self._read(after, limit))
        changes = Changes()
        for number, event in enumerate(events):
            if ended.is_set():
                return events, changes, number
            self._view.apply(event, changes)
        return events, changes, len(events)
