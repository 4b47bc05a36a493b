"""``Follower``, the base class of projectors, applies events to the documents of a view in MongoDB.

It writes the documents and the view's position in one transaction, guarded by the old position. So
each event is applied exactly once, even if a batch is interrupted or repeated.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Final

from pymongo import DeleteOne, UpdateOne
from pymongo.client_session import ClientSession

from eventlab.errors import EventLabError, InvalidArgument, Trimmed, ViewAhead, ViewStopped
from eventlab.events import Recorded, decode_entry
from eventlab.projections.checkpoint import Checkpoint
from eventlab.projections.following import Following
from eventlab.projections.identity import Identity, identify
from eventlab.projections.read_ahead import ReadAhead, batch_of
from eventlab.projections.view import Changes, View
from eventlab.store.answers import SERVER_ERRORS, is_outage, misconfiguration, reason
from eventlab.store.keys import checked_position
from eventlab.store.stream import CategoryStream

SLOW_SECONDS: Final = 0.25  # a batch that took longer is followed by a smaller one

#: The changes, the number of folded events, and the error at the next event, if there is one.
Folded = tuple[Changes, int, Exception | None]

log = logging.getLogger(__name__)


class Refused(Exception):
    """MongoDB or its driver cannot store the changes of a batch."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def writes_of(changes: Changes) -> Iterator[UpdateOne | DeleteOne]:
    """Yield the MongoDB writes for the changes, in order."""
    for id, change in changes.items():
        if change.deletes:
            yield DeleteOne({"_id": id})
        if update := change.update():
            yield UpdateOne({"_id": id}, update, upsert=True)


class Follower(Following):
    """Reads the events of one stream by position, folds them, and commits the changes.

    ``checkpoint`` holds the position and names the collection for the documents.
    """

    def __init__(self, checkpoint: Checkpoint, view: View, batch_size: int) -> None:
        super().__init__(checkpoint.name, checkpoint.session)
        self.store = checkpoint.store
        self.mongo = checkpoint.session.mongo
        self.view = view
        self.position: str | None = None  # unknown until it is read
        self._event: Identity | None = None  # the event at the position, if it is known
        self._checkpoint = checkpoint
        self._stream = CategoryStream(self.store.redis, self.store.keys)
        self._ahead = ReadAhead(self._events, view)
        self.max_batch_size = batch_size
        self._batch_limit = batch_size  # lower after a batch that MongoDB rejected
        self._batch_size = batch_size  # of the next batch

    def run_once(self) -> int:
        """Apply the next batch and return how many events were applied (0 if none are new).

        Raises ViewStopped at an event that the view cannot apply, or whose changes MongoDB cannot
        store; all earlier events are applied first. Raises ViewAhead, CategoryMismatch,
        ViewVersionMismatch or CheckpointMissing if the documents belong to another log, category or
        version, or if it is unknown which events the documents include.
        """
        self.position = position = self.position or self._read_position()
        if position is None:
            return 0  # a rebuild is replacing the documents
        began = time.monotonic()
        ahead = self._ahead.take(position, self._batch_size)
        events, changes, folded = ahead or (self._read(position), Changes(), 0)
        changes, good, error = self._fold(events, changes, folded)
        event = self._identify(position, events[good - 1] if good else None)
        if self.position != position:
            return 0  # another projector has moved the position
        if ahead and (event is None or error is not None):
            return Follower.run_once(self)  # a failover may have lost these events: read again
        more = 0 if event is None else self._limit_ahead(good)
        try:
            if good and not self._write(changes, position, events[good - 1].position, event, more):
                # Another projector was faster, or another transaction blocked this commit. The next
                # call reads the position again.
                return 0
        except Refused as refused:
            if good == 1:
                raise self._stopped(events[0], refused.error) from refused.error
            # The batch contains too many events, or one that cannot be stored. Halve the batch
            # until it fits, or until it contains only that event.
            self._batch_limit = self._batch_size = good // 2
            return 0
        if error is not None:
            raise self._stopped(events[good], error) from error
        ms = 1000 * (time.monotonic() - began)
        self._adapt_batch_size(good, ms / 1000)
        if good:
            log.debug("view %s: %d events up to %s, %.0f ms", self.name, good, self.position, ms)
        return good

    def has_read_all(self) -> bool:
        """Return whether this object is active and no event of its stream follows the position."""
        return self.position is not None and not self._read(self.position)

    def skip(self, position: str) -> None:
        """Skip the event at which the view has stopped; the event is never applied.

        Raises InvalidArgument if the next event is not the one at ``position``; the error names the
        next event.
        """
        while True:
            now = self._read_position()
            if now is None:
                continue  # a rebuild is about to replace the documents
            entries = self._stream.entries(after=now, limit=1)
            following = next((at.decode() for at, _ in entries), "the end of the stream")
            if following != checked_position(position):
                raise InvalidArgument(
                    f"view {self.name!r} resumes at {following}, not at {position}: "
                    "skip the position that ViewStopped names"
                )
            if self._write(Changes(), now, position):
                return

    # --------------------------------------------------------------------- run

    def _followers(self) -> list[Follower]:
        return [self]

    # ----------------------------------------------------------------- a batch

    def _read(self, position: str) -> list[Recorded]:
        events: list[Recorded] = []
        try:
            events.extend(self._events(position, self._batch_size))  # keeps those before an error
        except Trimmed:
            self.position = self._read_position()
            if self.position == position:
                raise
            # Another projector has moved the position, and a trim dropped the events before that.
            return []
        except Exception as error:
            # Apply the events before the one that cannot be decoded; the next batch raises the
            # error.
            if not events or isinstance(error, SERVER_ERRORS):
                raise
        return events

    def _events(self, position: str, limit: int) -> Iterator[Recorded]:
        """Yield up to ``limit`` events after a position, and fewer if they are large."""
        entries = self._stream.entries(after=position, limit=limit)
        sized = ((decode_entry(at, fields), len(fields[b"event"])) for at, fields in entries)
        return (self.store.upcast(event) for event, _ in batch_of(sized, limit))

    def _limit_ahead(self, good: int) -> int:
        """Return how many events to read while MongoDB stores a batch of ``good`` events."""
        # Several streams take turns, and the batches that wait would take too much memory.
        if good < self._batch_size or self.store.keys.count > 1 or self._checkpoint.joined:
            return 0
        return min(self._batch_limit, 2 * self._batch_size)  # the next batch may be larger

    def _fold(self, events: list[Recorded], changes: Changes, folded: int = 0) -> Folded:
        """Fold the events into ``changes``, which already contains the first ``folded`` events.

        After an error, the returned changes are new.
        """
        for number, event in enumerate(events[folded:], folded):
            try:
                self.view.apply(event, changes)
            except Exception as error:  # noqa: BLE001 - a view is user code: whatever it raises stops it here
                # Fold again, without the changes that the failed event left behind.
                changes, good, _ = self._fold(events[:number], Changes())
                return changes, good, error
        return changes, len(events), None

    def _write(
        self, changes: Changes, old: str, new: str, event: Identity | None = None, more: int = 0
    ) -> bool:
        """Commit a batch in one transaction, and return whether the position has moved.

        While MongoDB stores the batch, up to ``more`` of the next events are read and folded.
        Raises Refused if the changes cannot be stored.
        """

        def commit(begun: threading.Event) -> bool | None:
            def move_and_update(session: ClientSession) -> bool:
                moved = self._checkpoint.move(session, old, new, event)
                if moved and writes:
                    begun.set()
                    self.mongo[self.name].bulk_write(writes, ordered=ordered, session=session)
                return moved

            return self._session.transact(move_and_update, obstacle=("position", old))

        self.position = None  # only MongoDB knows whether this commit moves it
        writes = list(writes_of(changes))
        # Unordered writes are faster, because MongoDB groups them, but deletions need the order.
        ordered = any(change.deletes for change in changes.values())
        try:
            self._session.get()  # not in the thread, which may be abandoned
            moved = self._ahead.during(commit, new, more)
        except Exception as error:
            if isinstance(error, EventLabError) or is_outage(error):
                raise
            raise misconfiguration(error) or Refused(error) from error
        except BaseException:
            self._session.abandon()  # after Ctrl-C, the thread may still use the session
            raise
        if moved:
            self.position = new
            self._event = event
            self._checkpoint.show(new)
        elif moved is None:
            self._batch_size = max(1, self._batch_size // 2)  # a shorter transaction conflicts less
        return bool(moved)

    def _stopped(self, event: Recorded, error: Exception) -> ViewStopped:
        cause = reason(error) if isinstance(error, SERVER_ERRORS) else ""
        return ViewStopped(self._session.view, event, error, cause)

    def _adapt_batch_size(self, counted: int, seconds: float) -> None:
        if counted:  # grow slowly: a rejected batch costs as much as a stored one
            more = self._batch_limit + max(1, self._batch_limit // 8)
            self._batch_limit = min(self.max_batch_size, more)
        if seconds <= SLOW_SECONDS:
            self._batch_size = min(self._batch_limit, 2 * self._batch_size)
        else:
            self._batch_size = max(1, int(counted * SLOW_SECONDS / seconds))

    # ---------------------------------------------------------------- position

    def _read_position(self) -> str | None:
        """Return the stored position, or None while a rebuild has fenced the checkpoint."""
        state = self._checkpoint.read_unfenced()
        if state is None:
            return None
        self._checkpoint.checked(state)
        self._event = state.event
        return state.position

    def _identify(self, position: str, event: Recorded | None) -> Identity | None:
        """Return the identity of the event to which the position is about to move.

        Raises ViewAhead if the log no longer holds the event at ``position``. Sets the position to
        None if another projector has continued with the documents of a different log.
        """
        there, held, identity = identify(self.store, position, self._event, event)
        if held and (there or not self._lacks(position)):
            return identity
        state = self._checkpoint.read()
        if (state.position, state.event) == (position, self._event):
            raise ViewAhead(self.name, position, self.store.head())
        self.position = None
        return None

    def _lacks(self, position: str) -> bool:
        return self.store.lacks(position)
