"""A separate view for each test, and its projector."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.database import Database

from eventlab import EventStore, Projector
from eventlab.accounts import AccountView
from eventlab.projections import follower, read_ahead


@pytest.fixture(autouse=True)
def no_batch_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no batch, and nothing that is read ahead, depend on the speed of the machine."""
    monkeypatch.setattr(follower, "SLOW_SECONDS", 600.0)
    monkeypatch.setattr(read_ahead, "MAX_AGE_SECONDS", 600.0)


@pytest.fixture
def documents(
    mongo: Database[dict[str, Any]], category: str
) -> Iterator[Collection[dict[str, Any]]]:
    """The documents of this test's view; its bookkeeping is removed afterwards."""
    yield mongo[category]
    mongo.projections.delete_many({"_id": {"$regex": f"^{re.escape(category)}"}})
    mongo.projectors.delete_many({"view": category})


@pytest.fixture
def projector(store: EventStore, mongo: Database[dict[str, Any]], documents: Any) -> Any:
    """The projector of this test's view."""
    with Projector(store, mongo, AccountView(store.category)) as projector:
        yield projector
