"""``eventlab trace``: a tree of causes on a terminal, and as JSON."""

from __future__ import annotations

import json

import pytest

from eventlab import NEW, Event, EventStore
from eventlab.cli import main
from tests.cli.printed import assert_rejected, out


def test_trace_prints_the_tree_of_causes(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{store.category}/a"
    first = Event("x", {}, {"correlation_id": "r-1"})
    second = Event("y", {"n": 1}, {"correlation_id": "r-1", "causation_id": f"{name}/1"})
    store.append("a", [first, second], expected=NEW)
    words = ["trace", "r-1", f"--category={store.category}"]
    assert out(capsys, *words) == [f"{name}/1 x {{}}", f'  {name}/2 y {{"n": 1}}']
    [line] = out(capsys, *words, "--json")
    events = json.loads(line)["events"]
    assert [(event["depth"], event["name"]) for event in events] == [
        (0, f"{name}/1"), (1, f"{name}/2"),
    ]  # fmt: skip
    assert main.main(["trace", "r-9", f"--category={store.category}"]) == 1
    assert "has correlation_id 'r-9'" in capsys.readouterr().err


def test_trace_rejects_a_missing_correlation_id() -> None:
    assert_rejected("trace")
