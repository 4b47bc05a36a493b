"""What ``watch``, ``show`` and ``trace`` print, for their tests."""

from __future__ import annotations

import re

import pytest

from eventlab import NEW, Event, EventStore
from eventlab.cli import main

HOSTILE = "\x1b[2J\x9b31m\u202e\r\n"
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ")


def out(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the lines that a command prints, without their times."""
    assert main.main(list(words)) == 0
    return [TIME.sub("", line) for line in capsys.readouterr().out.splitlines()]


def assert_hostile_event_prints_as_text(
    store: EventStore, capsys: pytest.CaptureFixture[str], *words: str
) -> None:
    """Append an event full of control characters, and check the one line that a command prints."""
    event = Event(HOSTILE, {HOSTILE: HOSTILE}, {"by": HOSTILE})
    store.append(HOSTILE, [event], expected=NEW)
    for more in ([], ["--json"]):
        assert main.main([*words, f"--category={store.category}", *more]) == 0
        text = capsys.readouterr().out
        assert text.count("\n") == 1
        assert text.rstrip("\n").isprintable()


def assert_rejected(*words: str) -> None:
    """Check that the options of a command are rejected."""
    with pytest.raises(SystemExit) as caught:
        main.main(list(words))
    assert caught.value.code == 2
