"""The checkpoint of a view: its position, and a rebuild's fence and swap, in one MongoDB document.

A rebuild replaces a view's documents in two steps, so that a crash at any point leaves a complete
view:

1. `fence` stops the live projectors, which wait because they cannot move the position. A projector
   that has waited for FENCE_SECONDS assumes that the rebuild is dead and breaks the fence. If the
   rebuild is still running, it fences again.
2. `decide_swap` commits the decision to replace the documents (the swap) in one transaction, which
   requires the fence to be intact. From then on, any process that finds the decision can finish the
   swap: the rebuild, a projector, or the next rebuild.
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
from redis.exceptions import ClusterDownError, ResponseError

from eventlab.errors import (
    CategoryMismatch,
    CheckpointMissing,
    RebuildOvertaken,
    ViewVersionMismatch,
)
from eventlab.projections.identity import Identity
from eventlab.projections.session import (
    MAJORITY,
    RETRY_SECONDS,
    TRANSIENT,
    UNCLEAR,
    ProjectorSession,
)
from eventlab.projections.view import CHECKPOINTS, FIRST_VERSION
from eventlab.store.answers import reason
from eventlab.store.keys import START, view_group
from eventlab.store.store import EventStore

FENCE_SECONDS: Final = 5.0  # an older fence belongs to a dead rebuild
NO_COLLECTION: Final = 26  # MongoDB's error code
SHARED: Final = "shared"  # marks the checkpoint of a rebuild that several projectors build
#: The position of documents that are older than their checkpoint. It is unknown which events these
#: documents include.
UNKNOWN: Final = ""

Fields = dict[str, Any]

log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """The position in one of several categories or slices, and the event at that position.

    ``event`` is None if the event is unknown.
    """

    position: str
    event: Identity | None = None


class CheckpointState(msgspec.Struct, frozen=True):
    """A checkpoint as it is stored in MongoDB.

    ``event`` is the event at the position, or None if it is unknown. ``category`` and ``version``
    (the version of the view's code) are None in a checkpoint from an earlier release. ``fence`` is
    the name of the rebuild that has stopped the projectors. After the rebuild has decided to
    replace the live documents, ``swap`` holds the checkpoint fields of the rebuild.

    In a joined view, ``parts`` holds one position per category, sorted by the name of the category,
    or one per slice if the categories have slices. The field ``position`` then keeps its initial
    value. The stored document also lists the ``categories``, but only to detect a mismatch. Earlier
    releases did not record the categories.
    """

    position: str
    event: Identity | None = None
    category: str | None = None
    version: int | None = None
    fence: str | None = None
    swap: Fields | None = None
    parts: list[Place] | None = None


class Checkpoint:
    """Stores the position of a view, and controls which process may move the position.

    ``version`` is the version of the view's code. For a view of several categories, ``joined`` has
    their stores, in the order of the category names, and ``store`` is one of these stores or one of
    their slices. This object moves only the position in ``store``, although the document holds all
    the positions. The session's database reads from the primary, with read concern majority.
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
        self.key = name  # of the document; for a slice, with its number
        self.store = store
        self.session = session
        self.version = version
        self.swaps_only: Fields = {}  # additional conditions for a swap
        self.joined = joined
        self.stores = [part for each in joined for part in each.all_slices()] or [store]
        self.categories = [each.category for each in joined] or None  # a name may contain " + "
        self.category = " + ".join(self.categories or [store.category])
        self._part = self.stores.index(store)
        self._at = f"parts.{self._part}." if joined else ""  # the prefix of this part's fields
        self._of_code: Fields = {"category": self.category, "version": version}
        self._of_code |= {"categories": self.categories} if joined else {}
        self._documents = session.mongo[CHECKPOINTS]
        self._group = view_group(name)
        self._is_shown = True  # so that repeated errors are logged only once

    # ---------------------------------------------------------------- position

    def read(self) -> CheckpointState:
        """Return the checkpoint, and create it if it does not exist.

        A new checkpoint has a position before the first event, or the position UNKNOWN if the view
        already has documents. Raises CategoryMismatch if the documents belong to another category.
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
            # A projector of other categories created the checkpoint, but has applied no event.
            unused = {"_id": self.key, "category": None, "position": START}
            self._documents.update_one(unused, {"$set": self._first(START)})
            return self.read()
        return self._placed(state)

    def create_missing(self, keys: Sequence[str]) -> None:
        """Create the checkpoints that do not exist yet.

        If the view already has documents, the new checkpoints have the position UNKNOWN, because
        there is no record of which events these documents include.
        """
        is_empty = self.session.mongo[self.name].find_one({}, {"_id": 1}) is None
        first = {"$setOnInsert": self._first(START if is_empty else UNKNOWN)}
        # If another projector was faster, it also wrote the documents, so its checkpoint is kept.
        self._documents.bulk_write([UpdateOne({"_id": key}, first, upsert=True) for key in keys])

    def _first(self, position: str) -> Fields:
        parts = {"parts": [{"position": START}] * len(self.stores)} if self.joined else {}
        return {"position": position} | parts

    def _placed(self, state: CheckpointState) -> CheckpointState:
        """Return the state with the position in the category or slice of this checkpoint."""
        if not self.joined or state.position == UNKNOWN:
            return state
        places = state.parts or []
        if len(places) != len(self.stores):
            # An earlier release wrote the state, for one category or for categories without slices.
            return msgspec.structs.replace(state, position=UNKNOWN)
        place = places[self._part]
        return msgspec.structs.replace(state, position=place.position, event=place.event)

    def checked(self, state: CheckpointState | None = None) -> CheckpointState:
        """Return the checkpoint, or the given ``state``, if the view can resume from it.

        Otherwise, raises CategoryMismatch, CheckpointMissing or ViewVersionMismatch.
        """
        state = state or self.read()
        if state.position == UNKNOWN:
            raise CheckpointMissing(self.name)
        stored = state.version
        if stored is None:  # from an earlier release, or no event was applied yet
            stored = self.version if state.position == START else FIRST_VERSION
        if stored != self.version:
            raise ViewVersionMismatch(self.name, stored, self.version)
        return state

    def move(
        self, session: ClientSession, old: str, new: str, event: Identity | None = None
    ) -> bool:
        """Move the position from ``old`` to ``new`` in the caller's transaction.

        Returns False and changes nothing if the position is not ``old``, if a rebuild has fenced
        the checkpoint, or if the documents now belong to another version or category.
        """
        guard = {"_id": self.key, f"{self._at}position": old, "fence": None}
        mine = {name: {"$in": [None, value]} for name, value in self._of_code.items()}
        fields = {f"{self._at}position": new, f"{self._at}event": msgspec.to_builtins(event)}
        update = {"$set": fields | self._of_code}
        return bool(self._documents.update_one(guard | mine, update, session=session).matched_count)

    def delete(self) -> None:
        """Delete the checkpoint."""
        self._documents.delete_one({"_id": self.key})

    def forget_groups(self, name: str) -> None:
        """Remove the consumer groups that show the positions of a view or of its rebuild."""
        for store in self.stores:
            store.forget_group(view_group(name))

    def show(self, position: str) -> None:
        """Publish the position to Redis as a consumer group, so that no trim goes past it.

        If Redis rejects the write, this is only logged, because the next batch publishes a position
        again. Raises the error of the client if Redis is down.
        """
        self._show(self.store, position)

    def _show(self, store: EventStore, position: str) -> None:
        redis = store.redis
        stream = store.keys.stream
        try:
            redis.xgroup_setid(stream, self._group, position)
        except ClusterDownError:  # a ResponseError, but reads fail as well
            raise
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                if self._is_shown:
                    why = reason(error)
                    log.warning("view %s: cannot publish its position to Redis: %s", self.name, why)
                self._is_shown = False
                return
            # Another projector may create the group first; the next batch corrects its position.
            with contextlib.suppress(ResponseError):
                redis.xgroup_create(stream, self._group, position)
        self._is_shown = True

    # ------------------------------------------------------------------- fence

    def fence(self, rebuild: str) -> None:
        """Stop the live projectors for a rebuild, once no other rebuild is fencing them."""
        guard = {"_id": self.key, "fence": {"$in": [None, rebuild]}}

        def put_up(session: ClientSession) -> bool:
            update = {"$set": {"fence": rebuild}}
            return bool(self._documents.update_one(guard, update, session=session).matched_count)

        while not self.session.transact(put_up, obstacle=("fence", rebuild)):
            while self.read_unfenced() is None:
                # Do nothing else here, because another obstacle would restart the wait.
                pass

    def read_unfenced(self) -> CheckpointState | None:
        """Return the checkpoint; if a rebuild has fenced it, pause briefly and return None.

        If the rebuild has already decided to replace the live documents, this method replaces them.
        Otherwise, if this session has seen the same fence for FENCE_SECONDS, this method removes
        the fence. Raises CategoryMismatch if the documents belong to another category.
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
        """Remove the fence of a rebuild that has not yet decided to replace the live documents.

        Returns whether the fence was removed. If it was not, the rebuild may have made this
        decision in the meantime. In that case, call ``finish_swap``.
        """
        fenced = {"_id": self.key, "fence": rebuild, "swap": None}
        lifted = self._documents.update_one(fenced, {"$unset": {"fence": 1}}, session=session)
        return bool(lifted.matched_count)

    # -------------------------------------------------------------------- swap

    def decide_swap(self, rebuild: str) -> Fields | None:
        """Decide that the documents and checkpoint of a rebuild will replace the live ones.

        Returns the fields for ``finish_swap``, or None if the fence was broken or another
        transaction blocked the decision. After None, call ``fence``, catch up, and try again.
        Raises RebuildOvertaken if another rebuild has removed ``rebuild``.
        """
        fenced = {"_id": self.name, "fence": rebuild} | self.swaps_only
        session = self.session.get()
        swap: Fields | None = None
        try:
            with session.start_transaction(write_concern=MAJORITY):
                # A process that removes a rebuild first deletes the rebuild's checkpoint. So
                # either the rebuild is removed, or its swap is decided.
                swap = self._documents.find_one_and_delete({"_id": rebuild}, session=session)
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
            if not error.has_error_label(TRANSIENT) and getattr(error, "code", None) not in UNCLEAR:
                raise
            # MongoDB may have committed before the error. Then the checkpoint of the rebuild is
            # gone, and another attempt would raise RebuildOvertaken.
            return swap if self.session.commit_again() else None
        return swap

    def finish_swap(self, rebuild: str, swap: Fields) -> None:
        """Replace the live documents with the rebuilt ones.

        Each step is harmless if it runs twice or late.
        """
        self.forget_groups(rebuild)
        try:
            self.session.mongo[rebuild].rename(self.name, dropTarget=True)
        except OperationFailure as error:
            if error.code != NO_COLLECTION:  # another process has renamed it
                raise
        # Finish only a decided swap: another process of this rebuild may have fenced again.
        decided = {"_id": self.name, "fence": rebuild, "swap": {"$ne": None}}
        self._documents.update_one(decided, {"$set": swap, "$unset": {"fence": 1, "swap": 1}})
        for store, place in zip(self.stores, swap.get("parts", [swap]), strict=True):
            if place["position"] != START:
                self._show(store, place["position"])

    def remove_rebuild(self, rebuild: str) -> None:
        """Remove a rebuild: its checkpoint, fence, group and documents.

        If the rebuild has already decided to replace the live documents, they are replaced first.
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

    The checkpoint is created only once. If another rebuild removes the checkpoint, it is not
    created again.
    """

    def create(self) -> None:
        """Create the checkpoint with a position before the first event."""
        self._documents.insert_one({"_id": self.key} | self._first(START) | self._of_code)

    def read(self) -> CheckpointState:
        """Return the checkpoint. Raises RebuildOvertaken if the checkpoint was removed."""
        found = self._documents.find_one({"_id": self.key})
        if found is None:
            raise RebuildOvertaken(self.session.view)
        return self._placed(msgspec.convert(found, CheckpointState))

    def share(self) -> None:
        """Let other projectors find the rebuild, whose collection and indexes must exist by now.

        Raises RebuildOvertaken if another rebuild has removed this rebuild.
        """
        # MongoDB's clock gives the time, so that all projectors agree on the earliest rebuild.
        now = {"$currentDate": {SHARED: {"$type": "timestamp"}}}
        if not self._documents.update_one({"_id": self.key}, now).matched_count:
            raise RebuildOvertaken(self.session.view)

    def hold_trims(self) -> None:
        """Create the consumer group that shows the position, so that no trim goes past it."""
        super().show(START)

    def show(self, position: str) -> None:
        """Publish the position to Redis, unless its consumer group was removed.

        If this method created the group again, nothing would ever remove the new group.
        """
        with contextlib.suppress(ResponseError):
            self.store.redis.xgroup_setid(self.store.keys.stream, self._group, position)
