"""A projector's session is registered, so that others can end its transaction when it is dead."""

from __future__ import annotations

from typing import Any

import pytest

from eventlab import (
    EventStore,
)
from eventlab.accounts import AccountView
from eventlab.projections.projector import Projector
from tests.projections.support import fill, funds, kill_in_transaction


class Clock:
    """A clock that only the pauses of a session move, not the time that a busy machine takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 5  # MongoDB itself waits for 60 s before it ends a transaction


def test_open_transaction_of_a_dead_projector_blocks_nobody_for_long(
    store: EventStore, projector: Projector, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 6)
    kill_in_transaction(store.category)
    clock = Clock()
    monkeypatch.setattr("eventlab.projections.session.time", clock)
    projector.catch_up()
    assert clock.now > 0, "the transaction was not open: the test proves nothing"
    assert funds(documents) == 6


def test_session_that_another_projector_ended_stays_registered(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    fill(store, 3)
    with (
        Projector(store, mongo, AccountView(store.category)) as first,
        Projector(store, mongo, AccountView(store.category)) as second,
    ):
        first.catch_up()
        second._session.end_others()
        known = {each["_id"] for each in mongo.projectors.find({"view": store.category})}
        assert known == {projector._session.get().session_id["id"] for projector in (first, second)}
        fill(store, 3)
        assert first.catch_up() == 3
    assert mongo.projectors.count_documents({"view": store.category}) == 0
