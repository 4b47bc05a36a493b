"""``eventlab watch``: the events of a category on a terminal, and as JSON."""

from __future__ import annotations

import json
import signal

import pytest

from eventlab import ANY, NEW, Event, EventStore
from eventlab.cli import main
from tests.cli.printed import TIME, assert_hostile_event_prints_as_text, assert_rejected, out
from tests.support import command
from tests.support.store import deposits, fill
from tests.support.waiting import PATIENCE_SECONDS


def test_watch_prints_events_as_they_come_until_ctrl_c(store: EventStore) -> None:
    fill(store, 1, "old")
    category = f"--category={store.category}"
    with command.start("watch", category, "--after", store.head()) as process:
        assert process.stdout is not None
        for amount in (5, 7):
            store.append("a", deposits(amount), expected=ANY)
            line = TIME.sub("", process.stdout.readline())
            assert line == f'a {amount // 2 - 1} deposit {{"amount": {amount}}}\n'
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, rest, error) == (0, "", "")


def test_watch_once_prints_what_is_there(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    events = store.append("a", [Event("create"), *deposits(5)], expected=NEW)
    store.append("b", [Event("create", {}, {"by": "me"})], expected=NEW)
    category = f"--category={store.category}"
    assert out(capsys, "watch", category, "--once") == []
    assert out(capsys, "watch", category, "--once", "--after", "0-0") == [
        "a 1 create {}",
        'a 2 deposit {"amount": 5}',
        'b 1 create {} meta {"by": "me"}',
    ]
    after = ["--after", events[0].position]
    assert out(capsys, "watch", category, "--once", "--id", "a", *after) == [
        'a 2 deposit {"amount": 5}'
    ]
    [line] = out(capsys, "watch", category, "--once", "--id=a", "--json", *after)
    row = json.loads(line)
    assert (row["id"], row["version"], row["data"]) == ("a", 2, {"amount": 5})
    assert (row["position"], row["meta"]) == (events[1].position, None)


def test_watch_names_a_corrupt_entry_and_resumes_after_it(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store, 1)
    at = store.redis.xadd(store.keys.stream, {"event": "{"}).decode()
    store.append("b", deposits(7), expected=ANY)
    words = ["watch", f"--category={store.category}", "--once", "--after", "0-0"]
    assert main.main(words) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 3
    assert f"no event at {at}" in printed.err


def test_watch_prints_hostile_events_as_text(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_hostile_event_prints_as_text(store, capsys, "watch", "--once", "--after=0-0")


def test_watch_rejects_what_is_no_position() -> None:
    assert_rejected("watch", "--after=x")
