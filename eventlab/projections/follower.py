"""A follower: it carries the events of a category into the documents of a view in MongoDB.

The documents and the position up to which they count are written in one transaction, guarded by the old position. So
whatever is killed, repeated or run twice at once, each event counts exactly once.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from typing import Any, Final, Self

from pymongo import UpdateOne
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from redis import exceptions as redis_errors

from eventlab.errors import NoReplicaSet, Trimmed, ViewAhead, ViewStopped
from eventlab.events import Recorded
from eventlab.projections.sessions import ProjectorSession
from eventlab.projections.view import Changes, View
from eventlab.store.keys import START, order
from eventlab.store.store import EventStore

STATES: Final = "projections"  # the collection of positions: one document per view
SLOW_SECONDS: Final = 0.25  # a batch that took longer is followed by a smaller one
STUCK_SECONDS, FENCE_SECONDS, RETRY_SECONDS = 0.6, 5.0, 0.05
MAJORITY: Final = WriteConcern("majority")
INTERRUPTED, NO_TRANSACTIONS, NO_COLLECTION = 11601, 20, 26  # codes of MongoDB's errors
RETRYABLE: Final = ("TransientTransactionError", "UnknownTransactionCommitResult")
OUTAGES: Final = (ConnectionFailure, redis_errors.ConnectionError, redis_errors.TimeoutError)

log = logging.getLogger(__name__)


class Follower:
    """What a Projector and a Rebuild have in common: read by position, fold, write it all in one transaction."""

    def __init__(
        self,
        store: EventStore,
        mongo: Database[dict[str, Any]],
        view: View,
        *,
        batch_size: int = 5000,
    ) -> None:
        self.store, self.mongo, self.view, self.name = store, mongo, view, view.name
        self.position: str | None = None  # unknown until it is read
        self._batch_size = self._size = batch_size
        self._states = mongo.get_collection(
            STATES, read_concern=ReadConcern("majority"), write_concern=MAJORITY
        )
        self._session = ProjectorSession(mongo, view.name)
        self._stuck: tuple[object, float] | None = None
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_once(self) -> int:
        """Apply the next batch, and return how many of its events were counted here: 0 when there is nothing new.

        Raises ViewStopped at an event that the view cannot apply, once all before it are in.
        """
        self.position = position = self.position or self._read_position()
        if position is None:
            return 0  # a rebuild takes its place at this moment
        began = time.monotonic()
        events = self._read(position)
        changes, good, error = self._fold(events)
        if good and not self._write(changes, position, events[good - 1].position):
            return 0  # another one was faster, or a transaction is in the way: look again
        if error is not None:
            raise ViewStopped(self.name, events[good], error) from error
        took = time.monotonic() - began
        more = min(self._batch_size, 2 * self._size)
        self._size = more if took <= SLOW_SECONDS else max(1, int(good * SLOW_SECONDS / took))
        if good:
            log.debug(
                "view %s: %d events up to %s in %.0f ms",
                self.name,
                good,
                self.position,
                took * 1000,
            )
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

    def run(self, stop: threading.Event, *, poll_interval: float = 0.5) -> None:
        """Follow the category until ``stop`` is set; a batch that has begun is finished.

        News come at once; ``stop`` is looked at every ``poll_interval`` seconds. Of several, one is at work,
        and the others see
        every ``poll_interval`` seconds whether it still is. While a server is away it waits. All this is logged.
        """
        while not stop.is_set():
            try:
                counted = self.run_once()
                if self.position is not None:
                    self._say("at work")
                    if not counted:
                        self.store.wait(after=self.position, seconds=poll_interval)
                elif self._stuck is None:
                    self._say("standing by")
                    self._stand_by(stop, poll_interval)
            except OUTAGES as error:
                self._say(f"waiting: a server does not answer ({type(error).__name__})")
                self.position = None
                stop.wait(poll_interval)

    def close(self) -> None:
        """Leave in good order."""
        self._session.close()

    # ----------------------------------------------------------------- a batch

    def _read(self, position: str) -> list[Recorded]:
        events: list[Recorded] = []
        try:
            events.extend(self.store.read_all(after=position, limit=self._size))
        except Trimmed:
            self.position = self._read_position()
            if self.position == position:
                raise
            return []  # another one has gone on, and what both had done was trimmed
        except Exception as error:
            if not events or isinstance(error, redis_errors.RedisError):
                raise  # else first what can be read, as far as it goes
        if events and self.store.lacks(position):  # or a new event would count on top of lost ones
            raise ViewAhead(self.name, position, self.store.head())
        return events

    def _fold(self, events: list[Recorded]) -> tuple[Changes, int, Exception | None]:
        changes = Changes()
        for number, event in enumerate(events):
            try:
                self.view.apply(event, changes)
            except Exception as error:  # noqa: BLE001 - a view is its author's code: whatever it raises stops it here
                changes, good, _ = self._fold(
                    events[:number]
                )  # anew, without what the failed one left behind
                return changes, good, error
        return changes, len(events), None

    def _write(self, changes: Changes, old: str, new: str) -> bool:
        """Documents and position in one transaction; False when the position was not ours to move."""
        folded = ((id, change.update()) for id, change in changes.items())
        updates = [UpdateOne({"_id": id}, update, upsert=True) for id, update in folded if update]
        moved = self._transact({"position": old, "fence": None}, {"position": new}, updates)
        self.position = (
            new if moved else None
        )  # None: who moved it, this one perhaps, is written in MongoDB
        if moved:
            self._show(new)
        return moved

    def _transact(self, old: dict[str, Any], new: dict[str, Any], updates: list[UpdateOne]) -> bool:
        session = self._session.get()
        try:
            with session.start_transaction(write_concern=MAJORITY):
                moved = self._states.update_one(
                    {"_id": self.name} | old, {"$set": new}, session=session
                ).matched_count
                if moved and updates:
                    self.mongo[self.name].bulk_write(updates, ordered=False, session=session)
        except PyMongoError as error:
            code = getattr(error, "code", None)
            if code == NO_TRANSACTIONS:
                raise NoReplicaSet from error
            self.position = None
            if isinstance(error, OUTAGES) or not (
                code == INTERRUPTED or any(map(error.has_error_label, RETRYABLE))
            ):
                raise
            self._size = max(1, self._size // 2)
            self._yield_or_free(old)
            return False
        self._stuck = None
        return bool(moved)

    def _yield_or_free(self, old: object) -> None:
        if self._is_stuck(
            old, STUCK_SECONDS * random.uniform(1, 3)
        ):  # two slow ones must not end each other in turn
            self._session.end_others()
        time.sleep(random.uniform(0, RETRY_SECONDS))

    def _is_stuck(self, at: object, seconds: float) -> bool:
        """True when the same thing has been in the way for so long; the time then begins anew."""
        now = time.monotonic()
        if self._stuck is None or self._stuck[0] != at:
            self._stuck = (at, now)
        elif now - self._stuck[1] >= seconds:
            self._stuck = None
            return True
        return False

    # ---------------------------------------------------------------- position

    def _state_now(self) -> dict[str, Any]:
        found = self._states.find_one({"_id": self.name})
        if found is None:
            self._states.update_one(
                {"_id": self.name}, {"$setOnInsert": {"position": START}}, upsert=True
            )
        return found or {"position": START}

    def _unfenced(self) -> dict[str, Any] | None:
        """The state; None while a rebuild stands before its swap. One that died there is helped on, or waited out."""
        state = self._state_now()
        fence = state.get("fence")
        if fence is None:
            return state
        if "swap" in state:
            self._finish(fence, state["swap"])
        elif self._is_stuck(fence, FENCE_SECONDS):
            self._session.end_others()
            self._states.update_one(
                {"_id": self.name, "fence": fence, "swap": None}, {"$unset": {"fence": 1}}
            )
        time.sleep(RETRY_SECONDS)
        return None

    def _finish(self, fence: str, position: str) -> None:
        """The rebuilt documents take the place of the old ones; all this may be done twice, and late."""
        self.store.forget_group(fence)
        try:
            self.mongo[fence].rename(self.name, dropTarget=True)
        except OperationFailure as error:
            if error.code != NO_COLLECTION:  # another one has done it
                raise
        done = {"$set": {"position": position}, "$unset": {"fence": 1, "swap": 1}}
        self._states.update_one({"_id": self.name, "fence": fence}, done)
        if position != START:
            self._show(position)

    def _read_position(self) -> str | None:
        state = self._unfenced()
        if state is None:
            return None
        position = str(state["position"])
        if self.store.lacks(position):
            raise ViewAhead(self.name, position, self.store.head())
        return position

    def _show(self, position: str) -> None:
        redis, stream = self.store.redis, self.store.category
        try:
            redis.xgroup_setid(stream, self.name, position)
        except redis_errors.ResponseError as error:
            if "NOGROUP" not in str(error):
                log.warning("view %s: its position cannot be shown in Redis: %s", self.name, error)
                return
            with contextlib.suppress(
                redis_errors.ResponseError
            ):  # another one was faster; the next one shows it right
                redis.xgroup_create(stream, self.name, position)

    def _stand_by(self, stop: threading.Event, poll_interval: float) -> None:
        """Return when nobody moves the position, although there is news."""
        seen = None
        while not stop.wait(poll_interval):
            position = str(self._state_now()["position"])
            if position == seen and order(position) < order(self.store.head()):
                return
            seen = position

    def _say(self, state: str) -> None:
        if state != self._said:
            log.info("view %s: %s", self.name, state)
            self._said = state
