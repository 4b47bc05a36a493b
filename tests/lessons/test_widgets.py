"""The three widgets: what they show, and what their buttons do, on the real servers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
from bson.binary import Binary, UuidRepresentation

from eventlab import EventStore, Recorded
from eventlab.accounts import Account, AccountView
from eventlab.lessons import CrashStepper, StepRace, TimeSlider
from eventlab.lessons.interactive import WIDGET, Interactive
from eventlab.lessons.waiting import wait_until

HOUR = 3_600_000
HISTORY = [
    Recorded("JohnDoe", number + 1, type, data, f"{1767254400000 + HOUR * number}-0")
    for number, (type, data) in enumerate(
        [("create", {}), ("deposit", {"amount": 100}), ("withdraw", {"amount": 30})]
    )
]
ORDERS = sorted({"".join(order) for order in permutations("AAABBB")})


def buttons(widget: Interactive) -> dict[str, Any]:
    return {control.description: control for control in widget.controls(lambda: None)}


# ------------------------------------------------------------------------------------- every widget


def test_widget_shows_a_text_a_table_and_itself(store: EventStore) -> None:
    bundle = StepRace(store)._repr_mimebundle_()
    assert list(bundle) == ["text/plain", "text/html", WIDGET]
    assert "color:" not in bundle["text/html"], "a color is not legible in every theme"


def test_widget_shows_its_text_and_table_without_ipywidgets(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert list(StepRace(store)._repr_mimebundle_()) == ["text/plain", "text/html"]


def test_widget_escapes_what_events_hold() -> None:
    event = Recorded("a", 1, "create", {"note": "<script>"}, "1-0")
    assert "<script>" not in TimeSlider([event], Account).table()


# ---------------------------------------------------------------------------------- the time slider


def test_time_slider_shows_the_state_and_the_document_at_each_version() -> None:
    slider = TimeSlider(HISTORY, Account, AccountView("any"))
    assert repr(slider).splitlines()[:2] == [
        "version 3 of 3: withdraw, on 2026-01-01 at 10:00:00",
        "state: funds=70",
    ]
    assert slider.documents()[0]["funds"] == 70
    slider.version = 2
    assert slider.state() == {"funds": 100}
    assert [(d["funds"], d["version"]) for d in slider.documents()] == [(100, 2)]
    slider.version = 0
    assert repr(slider).splitlines() == ["version 0 of 3: before the first event", "state: funds=0"]


def test_time_slider_moves_by_its_slider() -> None:
    slider = TimeSlider(HISTORY, Account)
    refreshed: list[str] = []
    [control] = slider.controls(lambda: refreshed.append(slider.table()))
    control.value = 1
    assert slider.version == 1
    assert [text.count("<tr") for text in refreshed] == [4]  # two heads, an event, the funds


# ----------------------------------------------------------------------------------------- the race


@pytest.mark.parametrize(("checked", "expected"), [(False, {20: 2, -60: 18}), (True, {20: 20})])
def test_step_race_ends_as_every_order_of_the_steps_must(
    store: EventStore, checked: bool, expected: dict[int, int]
) -> None:
    race = StepRace(store, checked=checked)
    # Whoever has a conflict needs three more steps, to reject the withdrawal.
    found = Counter(race.play(order + "AAABBB").funds for order in ORDERS)
    assert found == expected


def test_step_race_says_what_each_writer_knows(store: EventStore) -> None:
    race = StepRace(store).play("AABBAB")
    assert repr(race).splitlines() == [
        "A: read version 2, funds 100; decided to withdraw 80; stored version 3. Done",
        "B: read version 2, funds 100; decided to withdraw 80; "
        "got a conflict: the account is at version 3. Next: read",
        "log: create, deposit 100, withdraw 80",
        "funds: 20",
    ]
    race.press("B")
    race.press("B")
    assert "rejected the withdrawal: 20 is less than 80. Done" in repr(race)


def test_step_race_advances_with_its_buttons(store: EventStore) -> None:
    race = StepRace(store)
    pressed = buttons(race)
    for _ in range(5):
        pressed["A: next step"].click()
    assert race.funds == 20
    pressed["Start over"].click()
    assert (race.funds, repr(race.writers["A"])) == (100, "Next: read")


# -------------------------------------------------------------------------------- the crash stepper


@pytest.fixture
def stepper(store: EventStore, lab: Any) -> Iterator[CrashStepper]:
    made = CrashStepper(store, lab.mongo)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("way", "steps", "money"),
    [
        ("checkpoint first", 1, "100 lost"),
        ("checkpoint first", 2, "right"),
        ("document first", 1, "100 too much"),
        ("document first", 2, "right"),
        ("one transaction", 1, "right"),
        ("one transaction", 2, "right"),
        ("one transaction", 3, "right"),
    ],
)
def test_crash_stepper_loses_or_doubles_where_the_process_dies(
    stepper: CrashStepper, way: str, steps: int, money: str
) -> None:
    stepper.reset(way)
    stepper.step(steps).kill().run()
    assert stepper.money() == money
    assert stepper.kills == 1
    assert stepper.checkpoint == 3


def test_crash_stepper_shows_what_is_stored_between_two_commands(stepper: CrashStepper) -> None:
    stepper.step()
    assert repr(stepper).splitlines() == [
        "document first: 1 commands, kills: 0",
        "Redis: deposits 100, 100, 100",
        "MongoDB: checkpoint 0, funds 100",
        "result: the run is not finished",
    ]
    assert "next: MongoDB: checkpoint = 1" in stepper.table()
    stepper.reset("one transaction")
    stepper.step(2)
    assert (stepper.checkpoint, stepper.total) == (0, 0), "not committed, so not to be seen"


def test_crash_stepper_advances_with_its_buttons(stepper: CrashStepper) -> None:
    pressed = {c.description: c for c in stepper.controls(lambda: None)[1:]}
    for name in ("Next command", "Kill it here", "Kill it here", "Run to the end"):
        pressed[name].click()
    assert (stepper.money(), stepper.kills) == ("100 too much", 1)
    pressed["Start over"].click()
    assert (stepper.total, stepper.kills, stepper.past) == (0, 0, [])


def test_crash_stepper_rejects_an_unknown_way(stepper: CrashStepper) -> None:
    with pytest.raises(ValueError, match="way='both' must be one of checkpoint first, document"):
        stepper.reset("both")


def test_crash_stepper_leaves_no_transaction_open_when_it_kills(
    stepper: CrashStepper, lab: Any
) -> None:
    def is_open() -> bool:
        found = lab.mongo.client.admin.aggregate(
            [
                {"$currentOp": {"allUsers": True, "idleSessions": True}},
                {"$match": {"transaction.parameters.txnNumber": {"$exists": True}}},
            ]
        )
        ours = Binary.from_uuid(stepper._session, UuidRepresentation.STANDARD)
        return any(
            "inactive transaction" in op["desc"] and op["lsid"]["id"] == ours for op in found
        )

    stepper.reset("one transaction")
    stepper.step()
    assert stepper._session is not None
    assert is_open()
    stepper.kill()
    assert wait_until(lambda: not is_open(), seconds=20)  # MongoDB itself would end it after 60
