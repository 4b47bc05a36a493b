"""A catch-up follower: it applies the events of a category to the documents of a view in MongoDB.

It writes the documents and the position up to which they count in one transaction, guarded by the
old position. So whatever is killed, repeated or run twice at once, each event counts exactly once.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final, Self

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from redis import exceptions as redis_errors

from eventlab.errors import Trimmed, ViewAhead, ViewStopped
from eventlab.events import Recorded
from eventlab.projections.checkpoint import Checkpoint
from eventlab.projections.session import ProjectorSession
from eventlab.projections.view import Changes, View
from eventlab.store.answers import SERVER_ERRORS, is_outage, misconfiguration, reason, server
from eventlab.store.keys import order
from eventlab.store.store import EventStore

SLOW_SECONDS: Final = 0.25  # a batch that took longer is followed by a smaller one

log = logging.getLogger(__name__)


class Follower:
    """What a Projector and a Rebuild have in common: read by position, fold, commit.

    ``checkpoint`` holds the position, and names the collection that gets the documents.
    """

    def __init__(
        self,
        store: EventStore,
        mongo: Database[dict[str, Any]],
        view: View,
        *,
        session: ProjectorSession,
        checkpoint: Checkpoint,
        batch_size: int,
    ) -> None:
        self.store = store
        self.mongo = mongo
        self.view = view
        self.name = checkpoint.name
        self.position: str | None = None  # unknown until it is read
        self._session = session
        self._checkpoint = checkpoint
        self._max_batch_size = batch_size
        self._batch_size = batch_size  # of the next batch
        self._logged_state = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_once(self) -> int:
        """Apply the next batch and return how many of its events counted; 0 if nothing is new.

        Raises ViewStopped at an event that the view cannot apply, after it has applied all events
        before it.
        """
        self.position = position = self.position or self._read_position()
        if position is None:
            return 0  # a rebuild is replacing the documents
        began = time.monotonic()
        events = self._read(position)
        changes, good, error = self._fold(events)
        if good and not self._write(changes, position, events[good - 1].position):
            return (
                0  # another one was faster, or a transaction is in the way: read the position again
            )
        if error is not None:
            raise ViewStopped(self.name, events[good], error) from error
        seconds = time.monotonic() - began
        self._adapt_batch_size(good, seconds)
        if good:
            log.debug(
                "view %s: %d events up to %s in %.0f ms",
                self.name,
                good,
                self.position,
                seconds * 1000,
            )
        return good

    def catch_up(self) -> int:
        """Apply all events that exist when it is called, and return how many it counted."""
        counted = 0
        head = self.store.head()
        while self.position is None or order(self.position) < order(head):
            more = self.run_once()
            if not more and self.position is not None and not self._read(self.position):
                break  # somebody deleted the newest event
            counted += more
        return counted

    def run(self, stop: threading.Event, *, poll_interval: float = 0.5) -> None:
        """Follow the category until ``stop`` is set; a batch that has begun is finished.

        New events are applied immediately; ``stop`` is checked every ``poll_interval`` seconds. Of
        several projectors one is active, and the others check every ``poll_interval`` seconds that
        it still is. While a server is down, it waits. Changes of state are logged.
        """
        while not stop.is_set():
            try:
                counted = self.run_once()
                if self.position is not None:
                    self._log_state("active")
                    if not counted:
                        self.store.wait(after=self.position, seconds=poll_interval)
                elif not self._session.is_blocked:
                    self._log_state("standby")
                    self._stand_by(stop, poll_interval)
            except SERVER_ERRORS as error:
                if not is_outage(error):
                    raise misconfiguration(error) or error from error
                self._log_state("waiting", f": {server(error)} is unavailable ({reason(error)})")
                self.position = None
                stop.wait(poll_interval)

    def close(self) -> None:
        """End the MongoDB session. The follower can be used again; it then starts a new one."""
        self._session.close()

    # ----------------------------------------------------------------- a batch

    def _read(self, position: str) -> list[Recorded]:
        events: list[Recorded] = []
        try:
            events.extend(self.store.read_all(after=position, limit=self._batch_size))
        except Trimmed:
            self.position = self._read_position()
            if self.position == position:
                raise
            # Another projector has moved on, and a trim dropped events that it had counted.
            return []
        except Exception as error:
            # Apply what could be read before the event that cannot be decoded; the next batch
            # raises.
            if not events or isinstance(error, redis_errors.RedisError):
                raise
        if events and self.store.lacks(position):  # or a new event would count on top of lost ones
            raise ViewAhead(self.name, position, self.store.head())
        return events

    def _fold(self, events: list[Recorded]) -> tuple[Changes, int, Exception | None]:
        """Return the changes, how many events they hold, and the error at the next event."""
        changes = Changes()
        for number, event in enumerate(events):
            try:
                self.view.apply(event, changes)
            except Exception as error:  # noqa: BLE001 - a view is user code: whatever it raises stops it here
                # Fold again, without what the failed event left behind.
                changes, good, _ = self._fold(events[:number])
                return changes, good, error
        return changes, len(events), None

    def _write(self, changes: Changes, old: str, new: str) -> bool:
        """Commit documents and position in one transaction; False if the position did not move."""
        folded = ((id, change.update()) for id, change in changes.items())
        updates = [UpdateOne({"_id": id}, update, upsert=True) for id, update in folded if update]

        def move_and_update(session: ClientSession) -> bool:
            moved = self._checkpoint.move(session, old, new)
            if moved and updates:
                self.mongo[self.name].bulk_write(updates, ordered=False, session=session)
            return moved

        self.position = None  # only MongoDB knows who moved it, perhaps this one
        moved = self._session.transact(move_and_update, obstacle=("position", old))
        if moved:
            self.position = new
            self._checkpoint.show(new)
        elif moved is None:
            self._batch_size = max(1, self._batch_size // 2)  # a shorter transaction conflicts less
        return bool(moved)

    def _adapt_batch_size(self, counted: int, seconds: float) -> None:
        if seconds <= SLOW_SECONDS:
            self._batch_size = min(self._max_batch_size, 2 * self._batch_size)
        else:
            self._batch_size = max(1, int(counted * SLOW_SECONDS / seconds))

    # ---------------------------------------------------------------- position

    def _read_position(self) -> str | None:
        """Return the stored position; None while a rebuild has fenced it."""
        state = self._checkpoint.read_unfenced()
        if state is None:
            return None
        if self.store.lacks(state.position):
            raise ViewAhead(self.name, state.position, self.store.head())
        return state.position

    def _stand_by(self, stop: threading.Event, poll_interval: float) -> None:
        """Return when nobody moves the position although there are new events."""
        seen = None
        while not stop.wait(poll_interval):
            position = self._checkpoint.read().position
            if position == seen and order(position) < order(self.store.head()):
                return
            seen = position

    def _log_state(self, state: str, why: str = "") -> None:
        if state != self._logged_state:
            log.info("view %s: %s%s", self.name, state, why)
            self._logged_state = state
