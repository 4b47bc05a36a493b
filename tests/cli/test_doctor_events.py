"""``eventlab doctor --events``: stored events that the newest code cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eventlab import NEW, Event, EventStore
from eventlab.cli import main
from tests.support.store import fill

CART = """
from eventlab import Aggregate, Recorded
class Cart(Aggregate):
    def apply(self, event):
        event.data["item"]
class Items:
    name = "items"
    def apply(self, event, changes):
        changes[event.data["item"]].inc("n", 1)
def lift(event):
    return Recorded(event.id, event.version, event.type, {"item": "tea"}, event.position)
"""
ACCOUNT = ["--reader", "eventlab.accounts.account:Account"]


@pytest.fixture
def cart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cart_code.py").write_text(CART)
    monkeypatch.chdir(tmp_path)


def test_events_prints_each_shape(store: EventStore, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, 2)
    assert main.main(["doctor", "--events", store.category, *ACCOUNT]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "OK    create(): 1 event",
        "OK    deposit(amount: integer): 2 events",
    ]


@pytest.mark.usefixtures("cart")
def test_events_fails_for_a_shape_without_a_path_to_the_newest(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.append(
        "c1", [Event("added", {"item": "tea"}), Event("added", {"name": "\x1b"})], expected=NEW
    )
    readers = ["--reader", "cart_code:Cart", "--reader", "cart_code:Items"]
    assert main.main(["doctor", "--events", store.category, *readers]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "OK    added(item: string): 1 event",
        "FAIL  added(name: string): 1 event, such as version 2 of 'c1': Cart raises \"KeyError: "
        "'item'\"; Items raises \"KeyError: 'item'\": make the code read this shape, or add an "
        "upcaster that converts it to the newest shape",
    ]
    lifted = [*readers, "--upcaster", "cart_code:lift", "--json"]
    assert main.main(["doctor", "--events", store.category, *lifted]) == 0
    shapes = json.loads(capsys.readouterr().out)["shapes"]
    assert [(row["shape"], row["ok"], row["events"]) for row in shapes] == [
        ("added(item: string)", True, 1),
        ("added(name: string)", True, 1),
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--events", "noSuchCategory"], "no known class reads category 'noSuchCategory'"),
        (["--events", "c", "--reader", "cart"], "--reader 'cart' must be MODULE:NAME"),
        (["--events", "c", "--reader", "no_such:X"], "--reader no_such:X: No module named"),
        (["--events", "c", "--reader", "json:X"], "--reader json:X: module 'json' has no attr"),
        (["--events", "c", "--reader", "json:dumps"], "is neither an Aggregate nor a view"),
        (["--reader", "json:dumps"], "--reader and --upcaster need --events CATEGORY"),
    ],
)
def test_events_rejects_bad_options(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["doctor", *words]) == 2
    assert complaint in capsys.readouterr().err
