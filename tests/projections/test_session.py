"""A projector's session is registered, so that others can end its transaction when it is dead."""

from __future__ import annotations

import time
from typing import Any

from eventlab import (
    EventStore,
)
from eventlab.accounts import AccountView
from eventlab.projections.projector import Projector
from tests.projections.support import fill, funds, kill_in_transaction


def test_open_transaction_of_a_dead_projector_blocks_nobody_for_long(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 6)
    kill_in_transaction(store.category)
    began = time.monotonic()
    projector.catch_up()
    assert time.monotonic() - began < 5  # it takes 60 unless dead sessions are ended
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
