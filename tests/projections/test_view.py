"""The changes of a batch fold into the smallest MongoDB updates."""

from __future__ import annotations

import copy

import pytest

from eventlab import (
    Recorded,
)
from eventlab.accounts import AccountView
from eventlab.projections.view import Changes


def test_changes_are_folded_into_bounded_updates() -> None:
    changes = Changes()
    view = AccountView()
    for version in range(1, 251):
        view.apply(Recorded("a", version, "deposit", {"amount": 2}, f"{version}-0"), changes)
    view.apply(Recorded("b", 1, "create", {}, "251-0"), changes)
    assert changes["a"].update() == {
        "$inc": {"funds": 500},
        "$set": {"version": 250},
        "$push": {"timestamps": {"$each": [f"{n}-0" for n in range(151, 251)], "$slice": -100}},
    }
    assert changes["b"].update()["$inc"] == {"funds": 0}


def test_change_rejects_two_operators_on_one_field() -> None:
    change = Changes()["a"]
    change.inc("x", 1)
    with pytest.raises(ValueError, match="one of"):
        change.set("x", 1)
    with pytest.raises(ValueError, match="one of"):
        change.unset("x")


def test_change_keeps_the_last_of_set_and_unset_and_nothing_before_a_deletion() -> None:
    change = Changes()["a"]
    change.set("x", 1)
    change.unset("x")
    assert change.update() == {"$unset": {"x": ""}}
    change.set("x", 2)
    assert change.update() == {"$set": {"x": 2}}
    change.delete()
    assert change.deletes
    assert change.update() == {}
    change.inc("x", 3)
    assert change.update() == {"$inc": {"x": 3}}


def test_failed_increment_changes_nothing() -> None:
    change = Changes()["a"]
    with pytest.raises(TypeError):
        change.inc("x", None)  # type: ignore[arg-type]
    assert change.update() == {}


def test_change_can_be_copied() -> None:
    change = Changes()["a"]
    change.inc("x", 1)
    change.unset("y")
    change.push("z", 1, keep=2)
    other = copy.deepcopy(change)
    change.push("z", 2, keep=2)
    assert other.update() == {
        "$inc": {"x": 1},
        "$unset": {"y": ""},
        "$push": {"z": {"$each": [1], "$slice": -2}},
    }
