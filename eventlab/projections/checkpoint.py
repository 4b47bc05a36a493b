"""The checkpoint of a view: the MongoDB document of its position, and of a rebuild's fence and
swap.

A rebuild replaces a view's documents in two steps, so that a crash anywhere leaves one whole view:

1. `fence` stops the live projectors: they cannot move the position, and wait. A projector that has
   waited for FENCE_SECONDS assumes that the rebuild is dead and breaks the fence; a rebuild that
   still runs then fences again.
2. `decide_swap` commits the decision in one transaction, which requires the fence to be intact.
   From then on the swap is certain, and anyone can finish it: the rebuild, a projector that finds
   it, or the next rebuild.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Any, Final

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from redis.exceptions import ResponseError

from eventlab.errors import RebuildOvertaken
from eventlab.projections.session import (
    INTERRUPTED,
    MAJORITY,
    RETRY_SECONDS,
    TRANSIENT,
    ProjectorSession,
)
from eventlab.store.keys import START
from eventlab.store.store import EventStore

CHECKPOINTS: Final = "projections"  # the collection: one document per view
FENCE_SECONDS: Final = 5.0  # a fence that is older belongs to a dead rebuild
NO_COLLECTION: Final = 26  # MongoDB's error code

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointState:
    """A checkpoint as it is stored.

    ``fence`` is the name of the rebuild that stops the projectors, ``swap`` the position of its
    documents, once they are certain to replace the live ones.
    """

    position: str
    fence: str | None = None
    swap: str | None = None


class Checkpoint:
    """The bookkeeping of a view: up to where its documents count, and who may change that."""

    def __init__(
        self,
        store: EventStore,
        mongo: Database[dict[str, Any]],
        name: str,
        session: ProjectorSession,
    ) -> None:
        self.name = name
        self._store = store
        self._mongo = mongo
        self._session = session
        self._documents = mongo.get_collection(
            CHECKPOINTS, read_concern=ReadConcern("majority"), write_concern=MAJORITY
        )

    # ---------------------------------------------------------------- position

    def read(self) -> CheckpointState:
        """Return the checkpoint; a view that has none gets one before the first event."""
        found = self._documents.find_one({"_id": self.name})
        if found is None:
            self._documents.update_one(
                {"_id": self.name}, {"$setOnInsert": {"position": START}}, upsert=True
            )
            return CheckpointState(START)
        return CheckpointState(str(found["position"]), found.get("fence"), found.get("swap"))

    def move(self, session: ClientSession, old: str, new: str) -> bool:
        """Move the position from ``old`` to ``new`` in the caller's transaction.

        Returns False, and changes nothing, if the position is not ``old`` or a rebuild has fenced
        it.
        """
        guard = {"_id": self.name, "position": old, "fence": None}
        moved = self._documents.update_one(guard, {"$set": {"position": new}}, session=session)
        return bool(moved.matched_count)

    def delete(self) -> None:
        """Forget the position."""
        self._documents.delete_one({"_id": self.name})

    def show(self, position: str) -> None:
        """Show the position in Redis, as a consumer group: a trim waits for it.

        It is a copy that the next batch renews, so an error is logged and stops nothing.
        """
        redis = self._store.redis
        stream = self._store.category
        try:
            redis.xgroup_setid(stream, self.name, position)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                log.warning("view %s: cannot show its position in Redis: %s", self.name, error)
                return
            # Another projector may create it first; the next batch then shows the right position.
            with contextlib.suppress(ResponseError):
                redis.xgroup_create(stream, self.name, position)

    # ------------------------------------------------------------------- fence

    def fence(self, rebuild: str) -> None:
        """Stop the live projectors for a rebuild, as soon as no other rebuild has fenced them."""
        guard = {"_id": self.name, "fence": {"$in": [None, rebuild]}}

        def put_up(session: ClientSession) -> bool:
            fenced = self._documents.update_one(
                guard, {"$set": {"fence": rebuild}}, session=session
            )
            return bool(fenced.matched_count)

        while not self._session.transact(put_up, obstacle=("fence", rebuild)):
            while self.read_unfenced() is None:
                # Nothing in between: another obstacle would restart the time that it waits.
                pass

    def read_unfenced(self) -> CheckpointState | None:
        """Return the checkpoint, or None after a short pause while a rebuild has fenced it.

        If the rebuild has decided its swap, this finishes it. If the fence has been there for
        FENCE_SECONDS without a decision, this breaks it.
        """
        state = self.read()
        if state.fence is None:
            return state
        if state.swap is not None:
            self.finish_swap(state.fence, state.swap)
        elif self._session.is_stuck(state.fence, FENCE_SECONDS):
            self._session.end_others()
            # Only without a swap: one that was decided in the meantime must be finished.
            self._documents.update_one(
                {"_id": self.name, "fence": state.fence, "swap": None}, {"$unset": {"fence": 1}}
            )
        time.sleep(RETRY_SECONDS)
        return None

    # -------------------------------------------------------------------- swap

    def decide_swap(self, rebuild: str, position: str) -> bool:
        """Decide that the documents of a rebuild will replace the live ones; they count up to
        ``position``.

        Returns False if the fence was broken, or another transaction was in the way: fence again,
        and catch up. Raises RebuildOvertaken if another rebuild has removed this one.
        """
        fenced = {"_id": self.name, "fence": rebuild}
        session = self._session.get()
        try:
            with session.start_transaction(write_concern=MAJORITY):
                # A process that removes a rebuild deletes its checkpoint first. So either it is
                # removed, or the swap is decided.
                mine = self._documents.delete_one({"_id": rebuild}, session=session)
                if not mine.deleted_count:
                    raise RebuildOvertaken(self.name)
                decided = self._documents.update_one(
                    fenced, {"$set": {"swap": position}}, session=session
                )
                if not decided.matched_count:
                    session.abort_transaction()
                    return False
        except PyMongoError as error:
            if error.has_error_label(TRANSIENT) or getattr(error, "code", None) == INTERRUPTED:
                return False
            raise
        return True

    def finish_swap(self, rebuild: str, position: str) -> None:
        """Replace the live documents with the rebuilt ones; every step may run twice, and late."""
        self._store.forget_group(rebuild)
        try:
            self._mongo[rebuild].rename(self.name, dropTarget=True)
        except OperationFailure as error:
            if error.code != NO_COLLECTION:  # another process has renamed it
                raise
        done = {"$set": {"position": position}, "$unset": {"fence": 1, "swap": 1}}
        self._documents.update_one({"_id": self.name, "fence": rebuild}, done)
        if position != START:
            self.show(position)

    def remove_rebuild(self, rebuild: str) -> None:
        """Remove a rebuild: its checkpoint, fence, group and documents.

        A swap that is decided is finished first.
        """
        self._documents.delete_one({"_id": rebuild})  # first: see decide_swap
        state = self.read()
        if state.fence == rebuild and state.swap is not None:
            self.finish_swap(rebuild, state.swap)
        self._documents.update_one({"_id": self.name, "fence": rebuild}, {"$unset": {"fence": 1}})
        self._store.forget_group(rebuild)
        self._mongo[rebuild].drop()


class RebuildCheckpoint(Checkpoint):
    """The checkpoint of a rebuild.

    It is created once: when another rebuild has removed it, it stays removed.
    """

    def __init__(
        self,
        store: EventStore,
        mongo: Database[dict[str, Any]],
        name: str,
        session: ProjectorSession,
        *,
        view: str,
    ) -> None:
        super().__init__(store, mongo, name, session)
        self._view = view

    def create(self) -> None:
        """Create the checkpoint, before the first event."""
        self._documents.insert_one({"_id": self.name, "position": START})

    def read(self) -> CheckpointState:
        """Return the checkpoint; raises RebuildOvertaken if another rebuild has removed it."""
        found = self._documents.find_one({"_id": self.name})
        if found is None:
            raise RebuildOvertaken(self._view)
        return CheckpointState(str(found["position"]))

    def hold_trims(self) -> None:
        """Create the group that shows the position in Redis, at the start: no trim passes it."""
        super().show(START)

    def show(self, position: str) -> None:
        """Show the position in Redis, unless the group was removed.

        If it were created again here, nobody would remove it.
        """
        with contextlib.suppress(ResponseError):
            self._store.redis.xgroup_setid(self._store.category, self.name, position)
