"""The crash stepper's process: a projector that waits for a line of input before each command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from eventlab.servers import connect
from eventlab.store.store import EventStore

CHECKPOINT: Final = "checkpoint"
TOTAL: Final = "total"
WAYS: Final = ("checkpoint first", "document first", "one transaction")

Documents = Collection[dict[str, Any]]


def project(
    way: str, store: EventStore, documents: Documents, session: ClientSession
) -> Iterator[str]:
    """Apply all events after the checkpoint; yield the name of each command about to be sent."""
    applied = (documents.find_one({"_id": CHECKPOINT}) or {}).get("events", 0)
    while events := store.read("shared", after=applied, limit=1):
        amount = events[0].data["amount"]
        applied += 1
        if way == "one transaction":
            yield f"MongoDB: begin, funds += {amount}"
            session.start_transaction()
            _add(documents, amount, session)
            yield f"MongoDB: checkpoint = {applied}"
            _store(documents, applied, session)
            yield "MongoDB: commit"
            session.commit_transaction()
        elif way == "document first":
            yield f"MongoDB: funds += {amount}"
            _add(documents, amount)
            yield f"MongoDB: checkpoint = {applied}"
            _store(documents, applied)
        else:
            yield f"MongoDB: checkpoint = {applied}"
            _store(documents, applied)
            yield f"MongoDB: funds += {amount}"
            _add(documents, amount)


def _add(documents: Documents, amount: int, session: ClientSession | None = None) -> None:
    change = {"$inc": {"funds": amount}}
    documents.update_one({"_id": TOTAL}, change, upsert=True, session=session)


def _store(documents: Documents, applied: int, session: ClientSession | None = None) -> None:
    change = {"$set": {"events": applied}}
    documents.update_one({"_id": CHECKPOINT}, change, upsert=True, session=session)


def main() -> None:
    """Print the session's id, then each command; send a command when a line of input arrives."""
    way, category = sys.argv[1:]
    with connect() as lab, lab.mongo.client.start_session() as session:
        print(session.session_id["id"].as_uuid(), flush=True)
        steps = project(way, EventStore(lab.redis, category), lab.mongo[category], session)
        for step in steps:
            print(step, flush=True)
            if not sys.stdin.readline():
                return  # the crash stepper has ended
        print("done", flush=True)


if __name__ == "__main__":
    main()
