"""An aggregate: its events and its state never differ."""

from __future__ import annotations

from functools import singledispatchmethod

import pytest

from eventlab import Aggregate, Event, EventStore, InvalidName, Recorded, Repository
from eventlab.accounts import Account


def test_record_records_nothing_when_apply_fails() -> None:
    account = Account("a")
    with pytest.raises(KeyError):
        account.record("deposit", {})
    assert (account.version, account.changes) == (0, [])


@pytest.mark.parametrize("name", ["id", "version", "position", "changes"])
def test_aggregate_refuses_an_attribute_that_the_library_keeps(name: str) -> None:
    class Robot(Aggregate):
        def apply(self, event: Event | Recorded) -> None:
            setattr(self, name, "kitchen")

    robot = Robot("r2")
    with pytest.raises(InvalidName, match=f"Robot defines '{name}'.*: rename it"):
        robot.record("moved")
    assert (robot.id, robot.version, robot.position, robot.changes) == ("r2", 0, "0-0", [])
    with pytest.raises(InvalidName, match=f"Robot2 defines '{name}'"):
        type("Robot2", (Robot,), {name: 3})


@pytest.mark.parametrize("name", ["copy", "state", "restore"])
@pytest.mark.parametrize("first_set_in", ["__init__", "apply"])
def test_aggregate_rejects_an_attribute_that_hides_a_method(name: str, first_set_in: str) -> None:
    class Robot(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            if first_set_in == "__init__":
                vars(self)[name] = "idle"

        def apply(self, event: Event | Recorded) -> None:
            vars(self)[name] = event.type

    message = f"Robot defines '{name}'.*: rename it"
    robot = Robot("r2")
    with pytest.raises(InvalidName, match=message):
        robot.record("moved")
    assert (robot.version, robot.changes) == (0, [])
    with pytest.raises(InvalidName, match=message):
        Robot("r2").replay([Recorded("r2", 1, "moved", {}, "1-0")])


@pytest.mark.parametrize("name", ["copy", "record", "replay", "restore", "state"])
def test_class_rejects_a_value_that_hides_a_method(name: str) -> None:
    with pytest.raises(InvalidName, match=f"Robot defines '{name}'.*: rename it"):
        type("Robot", (Aggregate,), {name: "idle"})


def test_class_rejects_an_inherited_value_that_hides_a_method() -> None:
    mixin = type("Mixin", (), {"state": "idle"})
    with pytest.raises(InvalidName, match="Robot defines 'state'"):
        type("Robot", (mixin, Aggregate), {})


def test_class_may_override_a_method() -> None:
    class Robot(Account):
        @singledispatchmethod
        def apply(self, event: Event | Recorded) -> None:
            super().apply(event)

        def state(self) -> dict[str, object]:
            return {"battery": 1}

    robot = Robot("r2")
    robot.record("create")
    assert (robot.version, robot.state()) == (1, {"battery": 1})


def test_load_from_an_older_snapshot_rejects_a_hidden_method(store: EventStore) -> None:
    class Robot(Account):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            vars(self)["state"] = "idle"

    accounts = Repository(store, Account, cache=0, snapshot_every=1)
    account = accounts.load("a")
    account.create()
    accounts.save(account)
    accounts.load("a")
    robots = Repository(store, Robot, cache=0, snapshot_every=1)
    with pytest.raises(InvalidName, match="Robot defines 'state'"):
        robots.load("a")
