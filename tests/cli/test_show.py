"""``eventlab show``: the events and the states of an aggregate, on a terminal and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventlab import NEW, Event, EventStore
from eventlab.cli import main
from tests.cli.printed import HOSTILE, assert_hostile_event_prints_as_text, assert_rejected, out
from tests.support.store import deposits

ACCOUNT = ["--reader", "eventlab.accounts.account:Account"]


def test_show_prints_the_state_beside_each_event(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.append("a", [Event("create"), *deposits(5, 7)], expected=NEW)
    words = ["show", "a", f"--category={store.category}"]
    assert out(capsys, *words, *ACCOUNT) == [
        'a 1 create {}  -> {"funds": 0}',
        'a 2 deposit {"amount": 5}  -> {"funds": 5}',
        'a 3 deposit {"amount": 7}  -> {"funds": 12}',
    ]
    assert out(capsys, *words)[0] == "a 1 create {}"
    assert out(capsys, *words, *ACCOUNT, "--last=1") == [
        "(2 earlier events: --last shows more)",
        'a 3 deposit {"amount": 7}  -> {"funds": 12}',
    ]
    [line] = out(capsys, *words, *ACCOUNT, "--last=2", "--json")
    found = json.loads(line)
    assert found["earlier"] == 1
    assert [event["state"] for event in found["events"]] == [{"funds": 5}, {"funds": 12}]


def test_show_at_a_time_leaves_out_what_came_later(
    redis_client: object, category: str, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([1_000, 2_000, 3_000])
    store = EventStore(redis_client, category, clock=lambda: next(times))  # type: ignore[arg-type]
    for version in range(3):
        store.append("a", deposits(5), expected=version)
    words = ["show", "a", f"--category={category}", "--last=1"]
    assert out(capsys, *words, "--at=1970-01-01T00:00:02Z")[-1] == 'a 2 deposit {"amount": 5}'
    assert main.main([*words, "--at=1970-01-01T00:00:00.5Z"]) == 1
    assert "has no events in" in capsys.readouterr().err


def test_show_rejects_a_reader_that_is_a_view(
    store: EventStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reader = "eventlab.accounts.views:AccountView"
    assert main.main(["show", "a", f"--category={store.category}", "--reader", reader]) == 2
    assert "is not an Aggregate" in capsys.readouterr().err


def test_show_prints_hostile_events_as_text(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_hostile_event_prints_as_text(store, capsys, "show", HOSTILE)


@pytest.mark.parametrize("option", ["--at=now", "--last=0", "--at=2026-01-01T00:00:00"])
def test_show_rejects_bad_options(option: str) -> None:
    assert_rejected("show", "a", option)
