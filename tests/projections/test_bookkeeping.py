"""A view's bookkeeping is read from the primary with majority, whatever the URL prefers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pymongo
import pytest
from pymongo.database import Database

from eventlab import EventStore, Projector
from eventlab.accounts import AccountView
from tests.projections.support import fill, funds


@pytest.fixture
def secondary(lab: Any) -> Iterator[Database[dict[str, Any]]]:
    """The database by a URL that never reads from a primary: here such a read fails."""
    lab.mongo.command("ping")  # it then knows its nodes
    [(host, _)] = lab.mongo.client.nodes
    name = lab.mongo.client.admin.command("hello")["setName"]
    with pymongo.MongoClient[dict[str, Any]](
        f"mongodb://{quote(host, safe='')}",
        replicaSet=name,
        readPreference="secondary",
        readConcernLevel="local",
        w=1,
        serverSelectionTimeoutMS=1000,
    ) as client:
        with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
            client["eventlab"].projections.find_one({})
        yield client["eventlab"]


def test_every_step_of_a_view_reads_from_the_primary(
    store: EventStore, secondary: Database[dict[str, Any]], documents: Any
) -> None:
    fill(store, 3)
    with Projector(store, secondary, AccountView(store.category)) as projector:
        assert projector.catch_up() == 6
        assert projector.lag().events == 0
        projector.wait_until("account-0", 2, seconds=60)
        stop = threading.Event()
        stop.set()
        projector.run(stop)
        store.redis.xtrim(store.category, maxlen=2)
        assert projector.rebuild(progress=False) == 6
        assert funds(documents) == 3
        projector._session.end_others()
        projector.reset()
