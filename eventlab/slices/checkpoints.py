"""The checkpoints of a view over slices: one per slice. A rebuild replaces them together.

The ``_id`` of slice 0's checkpoint is the name of the view. When a rebuild decides to replace the
live documents of all slices, it records this decision (``swap``) in that checkpoint. The fences of
all slices are set in one transaction, and removed in one transaction. Only a rebuild of one
aggregate fences a single slice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError

from eventlab.errors import RebuildOvertaken, ViewVersionMismatch
from eventlab.projections.checkpoint import (
    FENCE_SECONDS,
    NO_COLLECTION,
    SHARED,
    UNKNOWN,
    Checkpoint,
    CheckpointState,
    Fields,
    RebuildCheckpoint,
)
from eventlab.projections.identity import Identity
from eventlab.projections.session import (
    MAJORITY,
    RETRY_SECONDS,
    TRANSIENT,
    UNCLEAR,
    ProjectorSession,
)
from eventlab.projections.view import FIRST_VERSION, REBUILD_NAME
from eventlab.store.keys import START
from eventlab.store.store import EventStore

LIFT: Final = {"$unset": {"fence": 1}}


def slice_key(name: str, number: int) -> str:
    """Return the ``_id`` of a slice's checkpoint, which cannot be the name of another view.

    >>> slice_key("accounts", 0), slice_key("accounts", 7)
    ('accounts', 'accounts$7')
    """
    return f"{name}${number}" if number else name


def slice_keys(name: str, slices: int) -> list[str]:
    """Return the ``_id`` of each slice's checkpoint, in the order of the slices."""
    return [slice_key(name, number) for number in range(slices)]


class SliceCheckpoint(Checkpoint):
    """The checkpoint of one slice."""

    def __init__(
        self, whole: SlicedCheckpoint, session: ProjectorSession, store: EventStore, number: int
    ) -> None:
        super().__init__(store, session, whole.name, whole.version)
        self.key = slice_key(whole.name, number)
        self._whole = whole

    def create_missing(self, keys: Sequence[str]) -> None:  # noqa: ARG002 - it creates all
        """Create the missing checkpoints of all slices before a projector can write documents."""
        super().create_missing(self._whole.keys)

    def move(
        self, session: ClientSession, old: str, new: str, event: Identity | None = None
    ) -> bool:
        """Move the position; the first move in a slice records the view's version for all slices.

        Returns False in the same cases as ``Checkpoint.move``. Raises ViewVersionMismatch if
        another slice has documents of a different version.
        """
        if old == START:
            self._whole.claim(session)
        return super().move(session, old, new, event)

    def read_unfenced(self) -> CheckpointState | None:
        """Return the checkpoint; if a rebuild has fenced it, pause briefly and return None."""
        state = self.read()
        if state.fence is None:
            return state
        if not re.search(REBUILD_NAME, state.fence):
            return super().read_unfenced()  # a rebuild of one aggregate fences only this slice
        self._whole.release(state.fence, self.session)
        time.sleep(RETRY_SECONDS)
        return None


class SlicedCheckpoint(Checkpoint):
    """The checkpoints of all slices of a view."""

    def __init__(
        self, store: EventStore, session: ProjectorSession, name: str, version: int = 1
    ) -> None:
        super().__init__(store, session, name, version)
        self.keys = slice_keys(name, store.slices)
        self._all = {"_id": {"$in": self.keys}}
        self.parts = [
            SliceCheckpoint(self, session, part, number)
            for number, part in enumerate(store.all_slices())
        ]

    def read(self) -> CheckpointState:
        """Return the checkpoint of slice 0, which holds the fence for all slices.

        Raises CategoryMismatch if the view follows another category.
        """
        return self.parts[0].read()

    def delete(self) -> None:
        """Delete the checkpoints of all slices."""
        self._documents.delete_many(self._all)

    # ----------------------------------------------------------------- version

    def claim(self, session: ClientSession) -> None:
        """Set the version of the view on every slice that has not applied an event yet.

        Without this step, two versions of the view's code could each write the documents of some
        slices to the same collection. Raises ViewVersionMismatch if a slice already has a different
        version.
        """
        others = self._all | {"version": {"$nin": [None, self.version]}}
        other = self._documents.find_one(others, session=session)
        if other is not None:
            raise ViewVersionMismatch(self.name, other["version"], self.version)
        free = self._all | {"version": None, "position": START}
        mine = {"$set": {"version": self.version}}
        self._documents.update_many(free, mine, session=session)

    def older_version(self) -> int | None:
        """Return the version of the documents if it is lower than the view's version, else None.

        Raises ViewVersionMismatch if the version of the documents is higher.
        """
        counting = self._all | {"position": {"$nin": [START, UNKNOWN]}}
        found = self._documents.find(counting, {"version": 1})
        versions = {state.get("version") or FIRST_VERSION for state in found}
        stored = max(versions, default=self.version)
        if stored > self.version:
            raise ViewVersionMismatch(self.name, stored, self.version)
        older = min(versions, default=self.version)
        return older if older < self.version else None

    def positions_of(self, rebuild: str) -> list[str]:
        """Return the position that a rebuild has reached in each slice."""
        keys = slice_keys(rebuild, len(self.keys))
        found = self._documents.find({"_id": {"$in": keys}}, {"position": 1})
        positions = {state["_id"]: state["position"] for state in found}
        return [positions.get(key, START) for key in keys]

    # ------------------------------------------------------------------- fence

    def fence(self, rebuild: str) -> None:
        """Stop the live projectors of all slices, once the fences of other rebuilds are gone."""
        self.parts[0].read()  # raises CategoryMismatch
        free = self._all | {"fence": {"$in": [None, rebuild]}}

        def put_up(session: ClientSession) -> bool:
            fenced = self._documents.update_many(
                free, {"$set": {"fence": rebuild}}, session=session
            )
            if fenced.matched_count < len(self.keys):
                session.abort_transaction()
                return False
            return True

        while not self.session.transact(put_up, obstacle=("fence", rebuild)):
            while self.read_unfenced() is None:
                pass

    def read_unfenced(self) -> CheckpointState | None:
        """Return the checkpoint of slice 0; if a slice is fenced, pause briefly and return None."""
        states = (part.read_unfenced() for part in self.parts)
        return self.read() if all(states) else None

    def release(self, fence: str, session: ProjectorSession) -> None:
        """Finish the replacement that a rebuild has decided on, or remove a dead rebuild's fence.

        A rebuild counts as dead if ``session`` has seen its fence for FENCE_SECONDS.
        """
        lead = self._documents.find_one({"_id": self.key, "fence": fence})
        if lead is None:
            return  # the fence is already gone
        if lead.get("swap") is not None:
            self.finish_swap(fence, lead["swap"], session)
        elif session.is_stuck(fence, FENCE_SECONDS):
            session.end_others()
            self._lift(fence, session)

    def _lift(self, fence: str, session: ProjectorSession) -> bool | None:
        """Remove a fence from all slices, unless its rebuild has decided to replace the documents.

        Returns None if another transaction blocked this one.
        """

        def lift(of: ClientSession) -> bool:
            undecided = {"_id": self.key, "fence": fence, "swap": None}
            if self._documents.update_one(undecided, LIFT, session=of).matched_count:
                self._documents.update_many(self._all | {"fence": fence}, LIFT, session=of)
            return True

        return session.transact(lift, obstacle=("fence", fence))

    # -------------------------------------------------------------------- swap

    def decide_swap(self, rebuild: str) -> Fields | None:
        """Decide that the documents and checkpoints of a rebuild will replace the live ones.

        Returns the checkpoints by slice, for ``finish_swap``, or None if the fence was broken or
        another transaction blocked the decision. Raises RebuildOvertaken if another rebuild has
        removed ``rebuild``.
        """
        rebuilt_keys = slice_keys(rebuild, len(self.keys))
        rebuilt = {"_id": {"$in": rebuilt_keys}}
        session = self.session.get()
        swap: Fields = {}
        try:
            with session.start_transaction(write_concern=MAJORITY):
                found = {
                    state.pop("_id"): state
                    for state in self._documents.find(rebuilt, session=session)
                }
                self._documents.delete_many(rebuilt, session=session)
                if len(found) < len(self.keys):
                    raise RebuildOvertaken(self.name)
                found[rebuild].pop(SHARED, None)
                swap = {
                    str(number): found[slice_key(rebuild, number)] for number in range(len(found))
                }
                decided = self._documents.update_one(
                    {"_id": self.key, "fence": rebuild}, {"$set": {"swap": swap}}, session=session
                )
                fenced = self._all | {"fence": rebuild} | self.swaps_only
                count = self._documents.count_documents(fenced, session=session)
                if not decided.matched_count or count < len(self.keys):
                    session.abort_transaction()
                    return None
        except PyMongoError as error:
            if not error.has_error_label(TRANSIENT) and getattr(error, "code", None) not in UNCLEAR:
                raise
            # MongoDB may have committed before the error. Then the checkpoint of the rebuild is
            # gone, and another attempt would raise RebuildOvertaken.
            return swap if self.session.commit_again() else None
        return swap

    def finish_swap(self, rebuild: str, swap: Fields, by: ProjectorSession | None = None) -> None:
        """Replace the live documents with the rebuilt ones; each step can safely run again."""
        self.forget_groups(rebuild)
        try:
            self.session.mongo[rebuild].rename(self.name, dropTarget=True)
        except OperationFailure as error:
            if error.code != NO_COLLECTION:  # another process has already renamed it
                raise

        def finish(session: ClientSession) -> bool:
            decided = {"_id": self.key, "fence": rebuild, "swap": {"$ne": None}}
            done = {"$unset": {"fence": 1, "swap": 1}}
            if self._documents.update_one(decided, done, session=session).matched_count:
                moves = [
                    UpdateOne({"_id": key}, {"$set": swap[str(number)]} | LIFT)
                    for number, key in enumerate(self.keys)
                ]
                self._documents.bulk_write(moves, session=session)
            return True

        while (by or self.session).transact(finish, obstacle=("swap", rebuild)) is None:
            pass  # the blocking session finishes the same swap, or is ended
        for number, part in enumerate(self.parts):
            if swap[str(number)]["position"] != START:
                part.show(swap[str(number)]["position"])

    def remove_rebuild(self, rebuild: str) -> None:
        """Remove a rebuild: its checkpoints, fence, groups and documents.

        If the rebuild has already decided to replace the live documents, they are replaced first.
        """
        self._documents.delete_many({"_id": {"$in": slice_keys(rebuild, len(self.keys))}})
        lead: dict[str, Any] = self._documents.find_one({"_id": self.key, "fence": rebuild}) or {}
        if lead.get("swap") is not None:
            self.finish_swap(rebuild, lead["swap"])
        while lead and self._lift(rebuild, self.session) is None:
            pass
        self.session.mongo[rebuild].drop()
        self.forget_groups(rebuild)


class SliceRebuildCheckpoint(RebuildCheckpoint):
    """The checkpoint of one slice of a rebuild."""

    def __init__(self, whole: SlicedRebuildCheckpoint, store: EventStore, number: int) -> None:
        super().__init__(store, whole.session, whole.name, whole.version)
        self.key = slice_key(whole.name, number)


class SlicedRebuildCheckpoint(RebuildCheckpoint):
    """The checkpoints of a rebuild, one per slice."""

    def __init__(
        self, store: EventStore, session: ProjectorSession, name: str, version: int
    ) -> None:
        super().__init__(store, session, name, version)
        self.parts = [
            SliceRebuildCheckpoint(self, part, number)
            for number, part in enumerate(store.all_slices())
        ]

    def create(self) -> None:
        """Create the checkpoints, each with a position before the first event."""
        for part in self.parts:
            part.create()

    def hold_trims(self) -> None:
        """Create the groups that show the positions in Redis; no trim goes past these positions."""
        for part in self.parts:
            if part.store.head() != START:
                part.hold_trims()
