"""A projection: a view of a category in MongoDB, and the Projector that feeds it.

The documents and the position up to which they count are written in one transaction, guarded by the old position. So
whatever is killed, repeated or run twice at once, each event counts exactly once.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, Protocol

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from redis.exceptions import ResponseError

from eventlab.errors import Trimmed, ViewAhead, ViewStopped
from eventlab.events import Recorded
from eventlab.keys import START, order
from eventlab.store import EventStore

STATES: Final = "projections"  # the collection of positions: one document per view
PROJECTORS: Final = "projectors"  # the collection of sessions: one document per projector that is at work
STUCK_SECONDS: Final = 0.6
RETRY_SECONDS: Final = 0.05
MAJORITY: Final = WriteConcern("majority")
INTERRUPTED: Final = 11601  # what a killed session's operation may get
RETRYABLE: Final = ("TransientTransactionError", "UnknownTransactionCommitResult")


class Change:
    """What a batch of events does to one document, folded: the least that MongoDB must be told."""

    def __init__(self) -> None:
        self._inc: dict[str, int] = {}
        self._set: dict[str, Any] = {}
        self._push: dict[str, tuple[list[Any], int]] = {}

    def inc(self, field: str, by: int) -> None:
        """Add to a number, which begins at 0."""
        self._only(field, self._inc)
        self._inc[field] = self._inc.get(field, 0) + by

    def set(self, field: str, value: Any) -> None:
        """Put a value."""
        self._only(field, self._set)
        self._set[field] = value

    def push(self, field: str, value: Any, *, keep: int) -> None:
        """Append to a list that keeps its newest ``keep`` values."""
        self._only(field, self._push)
        values, _ = self._push.setdefault(field, ([], keep))
        values.append(value)

    def _only(self, field: str, its: Mapping[str, Any]) -> None:
        for other in (self._inc, self._set, self._push):
            if other is not its and field in other:
                raise ValueError(f"field {field!r}: MongoDB takes one of inc, set and push for a field, not two")

    def update(self) -> dict[str, Any]:
        """The change as a MongoDB update."""
        pushes = {field: {"$each": values[-keep:], "$slice": -keep} for field, (values, keep) in self._push.items()}
        parts = {"$inc": self._inc, "$set": self._set, "$push": pushes}
        return {operator: fields for operator, fields in parts.items() if fields}


class Changes(defaultdict[Any, Change]):
    """The changes of a batch, by the ``_id`` of their documents."""

    def __init__(self) -> None:
        super().__init__(Change)


class View(Protocol):
    """How events change the documents of one MongoDB collection; pure, so a test needs no server.

    ``name`` is the collection's. ``apply`` says what one event changes: all of it by ``changes``, nothing else. What
    it cannot apply it raises, before it changes anything: the view then stops in front of that event.
    """

    name: str

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Fold one event into the changes."""
        ...


class Projector:
    """Feeds one view from one category. Several may run, in threads, processes or on machines: the result is the same.

    >>> projector = Projector(store, lab.mongo, AccountView())
    >>> projector.run_once()
    3
    """

    def __init__(self, store: EventStore, mongo: Database[dict[str, Any]], view: View, *, batch: int = 5000) -> None:
        self.store, self.view = store, view
        self.position: str | None = None  # unknown until it is read
        self._batch = batch
        self._mongo = mongo
        self._documents = mongo.get_collection(view.name)
        self._states = mongo.get_collection(STATES, read_concern=ReadConcern("majority"), write_concern=MAJORITY)
        self._projectors = mongo.get_collection(PROJECTORS)
        self._session: ClientSession | None = None
        self._stuck: tuple[str, float] | None = None

    def __enter__(self) -> Projector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_once(self) -> int:
        """Apply the next batch, and return how many of its events were counted here: 0 when there is nothing new.

        Raises ViewStopped at an event that the view cannot apply, once all before it are in.
        """
        if self.position is None:
            self.position = self._read_position()
        events = self._read(self.position)
        changes, good, error = self._fold(events)
        if good and not self._write(changes, self.position, events[good - 1].position):
            return 0  # another one was faster, or a transaction is in the way: look again
        if error is not None:
            raise ViewStopped(self.view.name, events[good], error) from error
        return good

    def catch_up(self) -> int:
        """Apply batch after batch until the view holds every event there was, and return how many it counted."""
        counted, head = 0, self.store.head()
        while self.position is None or order(self.position) < order(head):
            more = self.run_once()
            if not more and self.position is not None and not self._read(self.position):
                break  # the newest was deleted by hand
            counted += more
        return counted

    def run(self, stop: threading.Event, *, look: float = 0.5) -> None:
        """Follow the category until ``stop`` is set; a batch that has begun is finished.

        News come at once; ``stop`` is looked at every ``look`` seconds.
        """
        while not stop.is_set():
            if not self.run_once() and self.position is not None:
                self.store.wait(after=self.position, seconds=look)

    def reset(self) -> None:
        """Begin anew: forget the position and the documents. No projector of this view may run meanwhile."""
        self._documents.delete_many({})
        self._states.delete_one({"_id": self.view.name})
        self.store.forget_group(self.view.name)
        self.position = None

    def close(self) -> None:
        """Leave in good order."""
        if self._session is not None:
            self._projectors.delete_one({"_id": self._session_id()})
            self._session.end_session()
            self._session = None

    # -------------------------------------------------------------------------

    def _read(self, position: str) -> list[Recorded]:
        try:
            events = list(self.store.read_all(after=position, limit=self._batch))
        except Trimmed:
            self.position = self._read_position()
            if self.position == position:
                raise
            return []  # another one has gone on, and what both had done was trimmed
        if events and self.store.lacks(position):  # or a new event would count on top of lost ones
            raise ViewAhead(self.view.name, position, self.store.head())
        return events

    def _fold(self, events: list[Recorded]) -> tuple[Changes, int, Exception | None]:
        changes = Changes()
        for number, event in enumerate(events):
            try:
                self.view.apply(event, changes)
            except Exception as error:  # noqa: BLE001 - a view is its author's code: whatever it raises stops it here
                changes, good, _ = self._fold(events[:number])  # anew, without what the failed one left behind
                return changes, good, error
        return changes, len(events), None

    def _write(self, changes: Changes, old: str, new: str) -> bool:
        """Documents and position in one transaction; False when the position was not ours to move."""
        changed = [(id, change.update()) for id, change in changes.items()]
        updates = [UpdateOne({"_id": id}, update, upsert=True) for id, update in changed if update]
        session = self._open_session()
        try:
            with session.start_transaction(write_concern=MAJORITY):
                moved = self._states.update_one(
                    {"_id": self.view.name, "position": old}, {"$set": {"position": new}}, session=session
                )
                if moved.matched_count and updates:
                    self._documents.bulk_write(updates, ordered=False, session=session)
        except PyMongoError as error:
            if not any(map(error.has_error_label, RETRYABLE)) and getattr(error, "code", None) != INTERRUPTED:
                raise
            self.position = None  # who moved it, this one perhaps, is written in MongoDB
            self._yield_or_free(old)
            return False
        self._stuck = None
        self.position = new if moved.matched_count else None
        if self.position:
            self._show(new)
        return self.position is not None

    def _yield_or_free(self, position: str) -> None:
        # A projector killed in its transaction leaves it open on the server for up to a minute, in everyone's way.
        now = time.monotonic()
        if self._stuck is None or self._stuck[0] != position:
            self._stuck = (position, now)
        elif now - self._stuck[1] >= STUCK_SECONDS * random.uniform(1, 3):  # two slow ones must not kill in turn
            others = {"view": self.view.name, "_id": {"$ne": self._session_id()}}
            ids = [other["_id"] for other in self._projectors.find(others)]
            if ids:
                self._mongo.client.admin.command("killSessions", [{"id": id} for id in ids])
                self._projectors.delete_many({"_id": {"$in": ids}})
            self._stuck = None
        self._register()
        time.sleep(random.uniform(0, RETRY_SECONDS))

    def _open_session(self) -> ClientSession:
        if self._session is None:
            self._session = self._mongo.client.start_session()
            self._register()
        return self._session

    def _register(self) -> None:
        # Not in the position's document: a dead transaction holds that one.
        self._projectors.replace_one({"_id": self._session_id()}, {"view": self.view.name}, upsert=True)

    def _session_id(self) -> Any:
        return self._open_session().session_id["id"]

    def _read_position(self) -> str:
        mine = {"_id": self.view.name}
        state = self._states.find_one(mine)
        if state is None:
            try:
                self._states.insert_one(mine | {"position": START})
            except DuplicateKeyError:  # another one begins at this moment
                return self._read_position()
            return START
        position = str(state["position"])
        if self.store.lacks(position):
            raise ViewAhead(self.view.name, position, self.store.head())
        return position

    def _show(self, position: str) -> None:
        redis, stream = self.store.redis, self.store.category
        try:
            redis.xgroup_setid(stream, self.view.name, position)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            try:
                redis.xgroup_create(stream, self.view.name, position)
            except ResponseError as busy:  # another one was faster; the next position shows it right
                if "BUSYGROUP" not in str(busy):
                    raise
