"""Run jobs, such as writers, projectors and watchers, in threads while a cell runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from pymongo.errors import OperationFailure

from eventlab.lessons.processes import PATIENCE

T = TypeVar("T")
Job = Callable[[threading.Event], object]


@contextmanager
def beside(*jobs: Job) -> Iterator[None]:
    """Run jobs in threads during the ``with`` block, and wait until they end.

    Each job is called with a ``threading.Event`` that is set when the job should stop. The first
    error that a job raises is raised again at the end of the block.
    """
    stop = threading.Event()
    errors: list[BaseException] = []

    def run(job: Job) -> None:
        try:
            job(stop)
        except BaseException as error:  # noqa: BLE001 - the cell raises it again
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


class Watcher(Generic[T]):
    """A job that reads as often as it can, and keeps every result in ``seen``.

    >>> watcher = Watcher(lambda: lab.mongo.shelf.count_documents({}))
    >>> with beside(watcher):
    ...     watcher.wait(3)
    >>> watcher.seen[:3]
    [0, 0, 0]
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self.seen: list[T] = []
        self._read = read

    def __call__(self, stop: threading.Event) -> None:
        """Read repeatedly until ``stop`` is set."""
        while not stop.wait(0.001):
            try:
                self.seen.append(self._read())
            except OperationFailure:
                continue  # the collection was replaced during the query, so retry

    def wait(self, more: int) -> None:
        """Wait until the watcher has read this many more times."""
        enough = len(self.seen) + more
        end = time.monotonic() + PATIENCE
        while len(self.seen) < enough:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"only {len(self.seen)} of {enough} reads finished within {PATIENCE} seconds"
                )
            time.sleep(0.01)
