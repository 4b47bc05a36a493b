"""What the tests of projections share."""

from __future__ import annotations

import time
from typing import Any

from pymongo.collection import Collection

from eventlab import (
    Event,
    EventStore,
)
from eventlab.accounts import AccountView
from eventlab.projections.projector import Projector
from eventlab.servers import connect
from tests.support.processes import FORKSERVER, forked


def fill(store: EventStore, count: int) -> None:
    """Append ``count`` deposits of 1, spread over three accounts."""
    for number in range(count):
        id = f"account-{number % 3}"
        if not store.version(id):
            store.append(id, [Event("create")], expected=0)
        store.append(id, [Event("deposit", {"amount": 1})], expected=store.version(id))


def funds(documents: Any) -> int:
    return sum(document["funds"] for document in documents.find())


def _open_and_hang(category: str, ready: Any) -> None:
    with connect() as lab:
        projector = Projector(EventStore(lab.redis, category), lab.mongo, AccountView(category))
        plain = Collection.bulk_write

        def hang(*args: Any, **options: Any) -> Any:
            if "session" not in options:  # it creates the checkpoint, in no transaction
                return plain(*args, **options)
            ready.set()
            return time.sleep(600)

        Collection.bulk_write = hang
        projector.run_once()


def kill_in_transaction(category: str) -> None:
    ready = FORKSERVER.Event()
    dying = forked(_open_and_hang, category, ready)
    dying.start()
    assert ready.wait(30)
    dying.kill()
    dying.join()


def open_transactions(mongo: Any) -> int:
    """Return how many transactions the MongoDB server holds open."""
    return int(mongo.client.admin.command("serverStatus")["transactions"]["currentOpen"])


def left_over(mongo: Any, store: EventStore) -> list[str]:
    groups = [group["name"].decode() for group in store.redis.xinfo_groups(store.category)]
    states = [state["_id"] for state in mongo.projections.find({"_id": {"$regex": store.category}})]
    return [
        name for name in [*mongo.list_collection_names(), *groups, *states] if ".rebuild-" in name
    ]
