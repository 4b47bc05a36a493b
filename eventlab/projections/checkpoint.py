"""The checkpoint of a view: its position, and a rebuild's fence and swap, in one MongoDB document.

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
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError
from redis.exceptions import ResponseError

from eventlab.errors import (
    CategoryMismatch,
    CheckpointMissing,
    RebuildOvertaken,
    ViewVersionMismatch,
)
from eventlab.projections.identity import Identity
from eventlab.projections.session import (
    INTERRUPTED,
    MAJORITY,
    RETRY_SECONDS,
    TRANSIENT,
    ProjectorSession,
)
from eventlab.projections.view import CHECKPOINTS, FIRST_VERSION
from eventlab.store.answers import reason
from eventlab.store.keys import START, view_group
from eventlab.store.store import EventStore

FENCE_SECONDS: Final = 5.0  # an older fence belongs to a dead rebuild
NO_COLLECTION: Final = 26  # MongoDB's error code
SHARED: Final = "shared"  # marks the checkpoint of a rebuild that several projectors build
#: The position of documents that were there before the checkpoint: it is unknown which events they
#: include.
UNKNOWN: Final = ""

Fields = dict[str, Any]

log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """The position in one of several categories, and the event there, None if it is not known."""

    position: str
    event: Identity | None = None


class CheckpointState(msgspec.Struct, frozen=True):
    """A checkpoint as it is stored.

    ``event`` is the event at the position, None if it is not known. ``category`` and ``version``
    (of the view's code) are None in a checkpoint of an earlier release. ``fence`` is the name of
    the rebuild that stops the projectors. Once its documents are certain to replace the live ones,
    ``swap`` holds their checkpoint fields. A joined view has ``parts``: the place in each of its
    ``categories``, in the order of their names, or in each of their slices. Its ``position`` keeps
    the first value. Earlier releases did not record the ``categories``, which are used only for a
    comparison.
    """

    position: str
    event: Identity | None = None
    category: str | None = None
    version: int | None = None
    fence: str | None = None
    swap: Fields | None = None
    parts: list[Place] | None = None


class Checkpoint:
    """The bookkeeping of a view: the position that its documents include, and who may move it.

    ``version`` is that of the view's code. ``joined`` are the stores of a view of several
    categories, in the order of their names. ``store`` is then one of them, or one of their slices:
    this object moves the position in that store; the same document has the other positions too. The
    session's database reads from the primary, with read concern majority.
    """

    def __init__(
        self,
        store: EventStore,
        session: ProjectorSession,
        name: str,
        version: int = FIRST_VERSION,
        joined: Sequence[EventStore] = (),
    ) -> None:
        self.name = name
        self.key = name  # of the document; that of a slice has its number as well
        self.store = store
        self.session = session
        self.version = version
        self.swaps_only: Fields = {}  # further conditions of a swap
        self.joined = joined
        self.stores = [part for each in joined for part in each.all_slices()] or [store]
        self.categories = [each.category for each in joined] or None  # a name may have a plus sign
        self.category = " + ".join(self.categories or [store.category])
        self._part = self.stores.index(store)
        self._at = f"parts.{self._part}." if joined else ""  # the prefix of its fields
        self._of_code: Fields = {"category": self.category, "version": version}
        self._of_code |= {"categories": self.categories} if joined else {}
        self._documents = session.mongo[CHECKPOINTS]
        self._group = view_group(name)
        self._is_shown = True  # so that an error is logged once

    # ---------------------------------------------------------------- position

    def read(self) -> CheckpointState:
        """Return the checkpoint; a view that has none gets one.

        A new checkpoint is before the first event, or at an UNKNOWN position if the view has
        documents. Raises CategoryMismatch if the documents are of another category.
        """
        found = self._documents.find_one({"_id": self.key})
        if found is None:
            self.create_missing([self.key])
            return self.read()
        state = msgspec.convert(found, CheckpointState)
        theirs = state.category, found.get("categories", self.categories)
        if state.category is not None and theirs != (self.category, self.categories):
            raise CategoryMismatch(self.name, state.category, self.category)
        counts = state.category is not None or state.position != START
        if self.joined and not counts and len(state.parts or ()) != len(self.stores):
            # A projector of other categories created it first, and has applied nothing.
            unused = {"_id": self.key, "category": None, "position": START}
            self._documents.update_one(unused, {"$set": self._first(START)})
            return self.read()
        return self._placed(state)

    def create_missing(self, keys: Sequence[str]) -> None:
        """Create the missing checkpoints.

        Nobody knows which events existing documents include, so their position is UNKNOWN.
        """
        is_empty = self.session.mongo[self.name].find_one({}, {"_id": 1}) is None
        first = {"$setOnInsert": self._first(START if is_empty else UNKNOWN)}
        # If another projector was faster, its checkpoint counts, and the documents are its work.
        self._documents.bulk_write([UpdateOne({"_id": key}, first, upsert=True) for key in keys])

    def _first(self, position: str) -> Fields:
        parts = {"parts": [{"position": START}] * len(self.stores)} if self.joined else {}
        return {"position": position} | parts

    def _placed(self, state: CheckpointState) -> CheckpointState:
        """Return the state with the position in the category of this checkpoint."""
        if not self.joined or state.position == UNKNOWN:
            return state
        places = state.parts or []
        if len(places) != len(self.stores):
            # An earlier release wrote it, for one category, or for categories without slices.
            return msgspec.structs.replace(state, position=UNKNOWN)
        place = places[self._part]
        return msgspec.structs.replace(state, position=place.position, event=place.event)

    def checked(self, state: CheckpointState | None = None) -> CheckpointState:
        """Return the checkpoint, or the given state of it, if this view may continue from there.

        Raises CategoryMismatch, CheckpointMissing, ViewVersionMismatch.
        """
        state = state or self.read()
        if state.position == UNKNOWN:
            raise CheckpointMissing(self.name)
        stored = state.version
        if stored is None:  # from an earlier release, or nothing was applied yet
            stored = self.version if state.position == START else FIRST_VERSION
        if stored != self.version:
            raise ViewVersionMismatch(self.name, stored, self.version)
        return state

    def move(
        self, session: ClientSession, old: str, new: str, event: Identity | None = None
    ) -> bool:
        """Move the position from ``old`` to ``new`` in the caller's transaction.

        Returns False, and changes nothing, if the position is not ``old``, a rebuild has fenced it,
        or the documents now belong to another version or category.
        """
        guard = {"_id": self.key, f"{self._at}position": old, "fence": None}
        mine = {name: {"$in": [None, value]} for name, value in self._of_code.items()}
        fields = {f"{self._at}position": new, f"{self._at}event": msgspec.to_builtins(event)}
        update = {"$set": fields | self._of_code}
        return bool(self._documents.update_one(guard | mine, update, session=session).matched_count)

    def delete(self) -> None:
        """Forget the position."""
        self._documents.delete_one({"_id": self.key})

    def forget_groups(self, name: str) -> None:
        """Remove the groups that show the positions of a view, or of a rebuild of it."""
        for store in self.stores:
            store.forget_group(view_group(name))

    def show(self, position: str) -> None:
        """Show the position in Redis, as a consumer group, so that no trim passes it.

        This is a copy that the next batch renews, so an error is only logged.
        """
        self._show(self.store, position)

    def _show(self, store: EventStore, position: str) -> None:
        redis = store.redis
        stream = store.keys.stream
        try:
            redis.xgroup_setid(stream, self._group, position)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                if self._is_shown:
                    why = reason(error)
                    log.warning("view %s: cannot publish its position to Redis: %s", self.name, why)
                self._is_shown = False
                return
            # Another projector may create it first; the next batch then shows the right position.
            with contextlib.suppress(ResponseError):
                redis.xgroup_create(stream, self._group, position)
        self._is_shown = True

    # ------------------------------------------------------------------- fence

    def fence(self, rebuild: str) -> None:
        """Stop the live projectors for a rebuild, as soon as no other rebuild has fenced them."""
        guard = {"_id": self.key, "fence": {"$in": [None, rebuild]}}

        def put_up(session: ClientSession) -> bool:
            update = {"$set": {"fence": rebuild}}
            return bool(self._documents.update_one(guard, update, session=session).matched_count)

        while not self.session.transact(put_up, obstacle=("fence", rebuild)):
            while self.read_unfenced() is None:
                # Do nothing else here: another obstacle would restart the waiting time.
                pass

    def read_unfenced(self) -> CheckpointState | None:
        """Return the checkpoint, or None after a short pause while a rebuild has fenced it.

        If the swap is already certain, this method finishes it. If the fence has been there for
        FENCE_SECONDS and the swap is not certain, this method removes the fence. Raises
        CategoryMismatch.
        """
        state = self.read()
        if state.fence is None:
            return state
        if state.swap is not None:
            self.finish_swap(state.fence, state.swap)
        elif self.session.is_stuck(state.fence, FENCE_SECONDS):
            self.session.end_others()
            self.lift(state.fence)
        time.sleep(RETRY_SECONDS)
        return None

    def lift(self, rebuild: str, session: ClientSession | None = None) -> bool:
        """Remove the fence of a rebuild, unless its swap is certain; return whether it was removed.

        If it was not, the swap may have become certain in the meantime, and must be finished.
        """
        fenced = {"_id": self.key, "fence": rebuild, "swap": None}
        lifted = self._documents.update_one(fenced, {"$unset": {"fence": 1}}, session=session)
        return bool(lifted.matched_count)

    # -------------------------------------------------------------------- swap

    def decide_swap(self, rebuild: str) -> Fields | None:
        """Decide that the documents and checkpoint of a rebuild will replace the live ones.

        Returns the fields for ``finish_swap``, or None if the fence was broken, or another
        transaction blocked it: fence again, and catch up. Raises RebuildOvertaken if another
        rebuild has removed this one.
        """
        fenced = {"_id": self.name, "fence": rebuild} | self.swaps_only
        session = self.session.get()
        try:
            with session.start_transaction(write_concern=MAJORITY):
                # A process that removes a rebuild deletes its checkpoint first. So either it is
                # removed, or the swap is decided.
                swap: Fields | None = self._documents.find_one_and_delete(
                    {"_id": rebuild}, session=session
                )
                if swap is None:
                    raise RebuildOvertaken(self.name)
                del swap["_id"]
                swap.pop(SHARED, None)
                update = {"$set": {"swap": swap}}
                decided = self._documents.update_one(fenced, update, session=session)
                if not decided.matched_count:
                    session.abort_transaction()
                    return None
        except PyMongoError as error:
            if error.has_error_label(TRANSIENT) or getattr(error, "code", None) == INTERRUPTED:
                return None
            raise
        return swap

    def finish_swap(self, rebuild: str, swap: Fields) -> None:
        """Replace the live documents with the rebuilt ones; each step may run twice, or late."""
        self.forget_groups(rebuild)
        try:
            self.session.mongo[rebuild].rename(self.name, dropTarget=True)
        except OperationFailure as error:
            if error.code != NO_COLLECTION:  # another process has renamed it
                raise
        done = {"$set": swap, "$unset": {"fence": 1, "swap": 1}}
        # Only a decided swap is finished: another process of this rebuild may have fenced again.
        decided = {"_id": self.name, "fence": rebuild, "swap": {"$ne": None}}
        self._documents.update_one(decided, done)
        for store, place in zip(self.stores, swap.get("parts", [swap]), strict=True):
            if place["position"] != START:
                self._show(store, place["position"])

    def remove_rebuild(self, rebuild: str) -> None:
        """Remove a rebuild: its checkpoint, fence, group and documents.

        If its swap is already certain, the swap is finished first.
        """
        self._documents.delete_one({"_id": rebuild})  # first: see decide_swap
        state = self.read()
        if state.fence == rebuild and state.swap is not None:
            self.finish_swap(rebuild, state.swap)
        self.lift(rebuild)
        self.forget_groups(rebuild)
        self.session.mongo[rebuild].drop()


class RebuildCheckpoint(Checkpoint):
    """The checkpoint of a rebuild.

    It is created once: when another rebuild has removed it, it stays removed.
    """

    def create(self) -> None:
        """Create the checkpoint, with a position before the first event."""
        fields = self._first(START) | self._of_code
        self._documents.insert_one({"_id": self.key} | fields)

    def read(self) -> CheckpointState:
        """Return the checkpoint; raises RebuildOvertaken if another rebuild has removed it."""
        found = self._documents.find_one({"_id": self.key})
        if found is None:
            raise RebuildOvertaken(self.session.view)
        return self._placed(msgspec.convert(found, CheckpointState))

    def share(self) -> None:
        """Let other projectors find the rebuild, which is complete except for its documents.

        Raises RebuildOvertaken if another rebuild has removed it.
        """
        # The time is that of MongoDB's clock, because the earliest rebuild counts.
        now = {"$currentDate": {SHARED: {"$type": "timestamp"}}}
        if not self._documents.update_one({"_id": self.key}, now).matched_count:
            raise RebuildOvertaken(self.session.view)

    def hold_trims(self) -> None:
        """Create the group that shows the position in Redis, so that no trim passes it."""
        super().show(START)

    def show(self, position: str) -> None:
        """Show the position in Redis, unless the group was removed.

        If it were created again here, nobody would remove it.
        """
        with contextlib.suppress(ResponseError):
            self.store.redis.xgroup_setid(self.store.keys.stream, self._group, position)
