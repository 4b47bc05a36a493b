"""`cpu_seconds` allows for a slow machine and for the garbage of other tests."""

from __future__ import annotations

import gc

import pytest

from tests.support import cpu_time
from tests.support.cpu_time import SUM_SECONDS, cpu_seconds


class Machine:
    """A clock that advances by fixed times during each call and each sum."""

    def __init__(self, calls: list[float], sum_seconds: float) -> None:
        self.calls = calls
        self.sum_seconds = sum_seconds
        self.now = 0.0
        self.collects: list[bool] = []

    def call(self) -> None:
        self.now += self.calls.pop(0)
        self.collects.append(gc.isenabled())

    def sum(self) -> None:
        self.now += self.sum_seconds

    def measure(self, monkeypatch: pytest.MonkeyPatch) -> float:
        monkeypatch.setattr(cpu_time.time, "thread_time", lambda: self.now)
        monkeypatch.setattr(cpu_time, "_sum", self.sum)
        return cpu_seconds(self.call, limit=1.0)


def test_quick_call_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Machine([0.5], SUM_SECONDS).measure(monkeypatch) == 0.5


def test_slow_call_is_repeated_without_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine([3.0, 2.5, 2.0, 2.5], SUM_SECONDS)
    assert machine.measure(monkeypatch) == pytest.approx(2.0)
    assert machine.collects == [True, False, False, False]
    assert gc.isenabled()


@pytest.mark.parametrize(("slowness", "seconds"), [(4.0, 0.5), (1.0, 2.0), (0.25, 2.0)])
def test_time_is_reduced_only_on_a_slow_machine(
    monkeypatch: pytest.MonkeyPatch, slowness: float, seconds: float
) -> None:
    machine = Machine([2.0] * 4, slowness * SUM_SECONDS)
    assert machine.measure(monkeypatch) == pytest.approx(seconds)
