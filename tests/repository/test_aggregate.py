"""An aggregate: its events and its state never differ."""

from __future__ import annotations

import pytest

from eventlab import Aggregate, Event, InvalidName, Recorded
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
