"""What all commands share: stop signals, work that finishes, and packages to install."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from eventlab.cli.process import CommandFailed, finish, require, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signals_set_the_event(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = stop_on_signals()
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(10)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_stop_signal_never_waits_for_the_event_in_its_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It runs in the main thread, which may hold the lock of the event: it would never end."""
    setters: list[int] = []

    class Noted(threading.Event):
        def set(self) -> None:
            setters.append(threading.get_ident())
            super().set()

    monkeypatch.setattr(threading, "Event", Noted)
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = stop_on_signals()
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop.wait(10)
        assert threading.get_ident() not in setters
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_finish_returns_the_result_of_work_that_a_signal_interrupts() -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = stop_on_signals()

        def work() -> str:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(10)  # the handler runs in the main thread while this one works
            return "done"

        assert finish(work) == "done"
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_finish_raises_what_the_work_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        finish(lambda: 1 // 0)


def test_require_names_the_missing_packages_and_the_extras() -> None:
    require(("json", "redis"), "lab")
    with pytest.raises(CommandFailed) as caught:
        require(("json", "no_such_package"), "mailroom", "serve")
    assert str(caught.value) == (
        "no_such_package is not installed: in your clone of eventlab: "
        "python -m pip install -e '.[mailroom,serve]'"
    )
    with pytest.raises(CommandFailed, match="a_, b_ are not installed"):
        require(("a_", "b_"), "lab")
