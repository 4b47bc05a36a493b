"""The shapes of stored events, and which of them cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from eventlab import NEW, Event, EventStore, Recorded
from eventlab.accounts.account import Account
from eventlab.accounts.views import AccountView
from eventlab.observe.shapes import shape_of, stored_shapes
from tests.support.store import fill


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ({}, "x()"),
        ({"b": 1, "a": "s"}, "x(a: string, b: integer)"),
        ({"a": True, "b": None, "c": 1.0}, "x(a: boolean, b: null, c: number)"),
        ({"a": [], "b": [1, 2], "c": [1, "s"]}, "x(a: [], b: [integer], c: [integer | string])"),
        ({"a": {"b": {"c": 1}}}, "x(a: {b: {c: integer}})"),
        ({"a\x1b": 1, "": 2}, r"x('': integer, 'a\x1b': integer)"),
        ({"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}, "x(a: {a: {a: {a: {a: {…}}}}})"),
    ],
)
def test_shape_names_fields_and_kinds(data: dict[str, Any], shape: str) -> None:
    assert shape_of(Event("x", data)) == shape


def test_shape_of_a_hostile_type_is_a_literal() -> None:
    assert shape_of(Event("\x1b[2J")) == r"'\x1b[2J'()"


def test_stored_shapes_counts_each_shape_also_after_a_trim(store: EventStore) -> None:
    fill(store, 3, "a")
    fill(store, 2, "b")
    store.trim(before=store.head())
    found = stored_shapes(store, [Account, AccountView()])
    assert [(s.shape, s.count, s.ok) for s in found] == [
        ("create()", 2, True),
        ("deposit(amount: integer)", 5, True),
    ]


def test_stored_shapes_names_readers_that_fail(store: EventStore) -> None:
    fill(store, 1, "a")
    store.append("b", [Event("create"), Event("deposit", {"cents": 1}), Event("x")], expected=NEW)
    found = {s.shape: s for s in stored_shapes(store, [Account, AccountView()])}
    deposit = found["deposit(cents: integer)"]
    assert deposit.errors.keys() == {"Account", "AccountView"}
    assert (deposit.sample.id, deposit.sample.version) == ("b", 2)
    assert found["x()"].errors.keys() == {"AccountView"}
    assert found["deposit(amount: integer)"].ok


def test_stored_shapes_are_lifted_by_upcasters(store: EventStore) -> None:
    store.append("b", [Event("create"), Event("deposit", {"cents": 1}), Event("x")], expected=NEW)

    def lift(event: Recorded) -> Recorded:
        if event.type == "x":
            raise LookupError("no path")
        data = {"amount": event.data["cents"]} if event.type == "deposit" else event.data
        return Recorded(event.id, event.version, event.type, data, event.position)

    found = {s.shape: s.errors for s in stored_shapes(store, [Account, AccountView()], [lift])}
    assert found == {
        "create()": {},
        "deposit(cents: integer)": {},
        "x()": {"lift": "LookupError: no path"},
    }
