"""What all commands share: stop signals, work that finishes, and packages to install."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from eventlab.cli.process import CommandFailed, finish, require, stop_on_signals
from eventlab.servers import Lab
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signals_set_the_event(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = stop_on_signals()
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(PATIENCE_SECONDS)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_stop_signal_never_waits_for_the_event_in_its_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It runs in the main thread, which may hold the lock of the event: a wait would never end."""
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
        assert stop.wait(PATIENCE_SECONDS)
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
            # The handler runs in the main thread while this one works.
            assert stop.wait(PATIENCE_SECONDS)
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


#: A program that gets SIGTERM in a thread of its own, while the main thread waits.
SIGNALED = """
import pathlib, signal, subprocess, sys, threading, time
from eventlab.cli import lab, main
from eventlab.servers import keepalive
waiting = threading.__file__, subprocess.__file__, keepalive.__file__
def is_ready():
    frame = sys._current_frames()[threading.main_thread().ident]
    return frame.f_code.co_filename in waiting and callable(signal.getsignal(signal.SIGTERM))
def send():
    sys.stdin.readline()
    while not is_ready():
        time.sleep(0.01)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
threading.Thread(target=send, daemon=True).start()
child = "import time; print('up', flush=True); time.sleep(600)"
lab._jupyter = lambda *_: [sys.executable, "-c", child]
lab._find_notebooks = pathlib.Path
sys.exit(keepalive.main() if sys.argv[1:] == ["keepalive"] else main.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "ready", "status"),
    [
        ("sandbox", b"# Gmail", 0),
        ("ui --port 0", b"eventlab ui: ", 0),
        ("lab --in-place", b"up", 128 + signal.SIGTERM),
        ("keepalive", b"", 0),
    ],
)
def test_program_ends_although_another_thread_gets_the_signal(
    lab: Lab, words: str, ready: bytes, status: int
) -> None:
    command = [sys.executable, "-c", SIGNALED, *words.split()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            if ready:
                assert process.stdout.readline().startswith(ready)
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.wait(PATIENCE_SECONDS) == status
        finally:
            process.kill()
