"""Jobs run beside a cell, end with it, and their errors are seen."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from eventlab.lessons import Watcher, beside


def test_beside_runs_jobs_until_the_end_of_the_block() -> None:
    began, ended = threading.Event(), threading.Event()

    def job(stop: threading.Event) -> None:
        began.set()
        stop.wait()
        ended.set()

    with beside(job):
        assert began.wait(30)
        assert not ended.is_set()
    assert ended.is_set()


def test_beside_raises_the_error_of_a_job() -> None:
    def job(stop: threading.Event) -> None:
        raise ValueError("three books are missing")

    with pytest.raises(ValueError, match="three books"), beside(job):
        pass


def test_beside_stops_its_jobs_when_the_block_fails() -> None:
    ended = threading.Event()

    def job(stop: threading.Event) -> None:
        stop.wait()
        ended.set()

    with pytest.raises(KeyError), beside(job):
        raise KeyError("a mistake in the cell")
    assert ended.is_set()


def test_watcher_keeps_what_it_reads_and_reads_again_after_a_swap() -> None:
    answers: list[Any] = [1, OperationFailure("the collection was renamed"), 2]

    def read() -> int:
        answer = answers.pop(0) if answers else 3
        if isinstance(answer, Exception):
            raise answer
        return answer

    watcher = Watcher(read)
    with beside(watcher):
        watcher.wait(3)
    assert watcher.seen[:3] == [1, 2, 3]


def test_watcher_does_not_wait_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlab.lessons.threads.PATIENCE", 0)
    with pytest.raises(TimeoutError, match="only 0 of 5 reads finished within 0 seconds"):
        Watcher(lambda: 1).wait(5)
