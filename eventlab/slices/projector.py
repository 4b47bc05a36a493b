"""Projects a category in slices into a view, with one projector per slice."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from typing import Any, Final

from pymongo.database import Database

from eventlab.errors import (
    EventLabError,
    InvalidArgument,
    RebuildOvertaken,
    ViewStopped,
    ViewVersionMismatch,
)
from eventlab.events import Recorded
from eventlab.projections.follower import Folded, Follower
from eventlab.projections.following import Following
from eventlab.projections.lag import ViewLag, lag_of, sum_of_lags
from eventlab.projections.projector import Projector
from eventlab.projections.session import ProjectorSession, bookkeeping
from eventlab.projections.upgrade import shared_rebuild
from eventlab.projections.view import Changes, View, checked_view_name, version_of
from eventlab.slices.checkpoints import SliceCheckpoint, SlicedCheckpoint
from eventlab.slices.connections import limit_of
from eventlab.slices.rebuild import SlicedRebuild, SlicedUpgrade, UntilBuilt
from eventlab.slices.shares import SharedSession, Shares, outages_ignored
from eventlab.store.keys import START, checked_position, view_group
from eventlab.store.slices import check_slices, slice_number
from eventlab.store.store import EventStore

IDLE_SECONDS: Final = 5.0  # after this, a slice without new events reads its checkpoint
BEAT_SECONDS: Final = 0.5  # between the heartbeats of a running projector

log = logging.getLogger(__name__)


class SliceProjector(Projector):
    """Feeds a view from one slice, alongside the projectors of the other slices."""

    def __init__(self, whole: SlicedProjector, checkpoint: SliceCheckpoint, number: int) -> None:
        Follower.__init__(self, checkpoint, whole.view, whole.batch_size)
        self._number = number
        self._shares = whole.shares
        self._connections = whole.connections
        self._turn = whole.turn
        self._has_turn = False
        self.state = ""  # for the log message about all slices

    def run_once(self) -> int:
        """Apply the next batch of this slice, unless another projector follows the slice.

        Returns how many events were applied.
        """
        if not self._shares.has(self._number):
            self.position = None
            self._session.unblock()  # otherwise, the slice would retry without a pause
            return 0
        self._waited = 0.0  # seconds that the slice has waited for its turn
        with self._connections.working:
            try:
                return Follower.run_once(self)
            finally:
                if self._has_turn:
                    self._has_turn = False
                    self._turn.release()

    def _fold(self, events: list[Recorded], changes: Changes, folded: int = 0) -> Folded:
        # Only one slice at a time, because the slices share this process and, in some views, the
        # documents. The events have been read before, so no slice has the turn while it waits for a
        # Redis that is down.
        if events and not self._has_turn:
            began = time.monotonic()
            self._turn.acquire()
            self._has_turn = True
            self._waited = time.monotonic() - began
        return super()._fold(events, changes, folded)

    def _adapt_batch_size(self, counted: int, seconds: float) -> None:
        super()._adapt_batch_size(counted, seconds - self._waited)

    def next_position(self) -> str:
        """Return the position of the next event to apply, or an empty string if there is none."""
        now = self._read_position()
        entries = [] if now is None else self._stream.entries(after=now, limit=1)
        return next((at.decode() for at, _ in entries), "")

    def run(self, stop: threading.Event, *, poll_interval: float = 0.5) -> None:
        """Follow the slice until ``stop`` is set."""
        self._stop = stop
        super().run(stop, poll_interval=poll_interval)

    def _wait(self, seconds: float) -> None:
        # An empty batch in each of 64 slices, once per interval, would keep a core busy.
        end = time.monotonic() + IDLE_SECONDS
        after = self.position or START
        while not self._stop.is_set() and self._shares.has(self._number) and time.monotonic() < end:
            if self._has_news(after, seconds):
                return
        self.position = None  # read the checkpoint: the documents may have been replaced

    def _has_news(self, after: str, seconds: float) -> bool:
        if self._connections.waiting.acquire(blocking=False):
            try:
                return self.store.wait(after=after, seconds=seconds)
            finally:
                self._connections.waiting.release()
        self._stop.wait(seconds)
        with self._connections.working:
            return self._lags([after])

    def _stand_by(self, stop: threading.Event, poll_interval: float) -> None:
        while not stop.wait(poll_interval) and not self._shares.has(self._number):
            pass

    def _log_state(self, state: str, why: str = "") -> None:
        self.state = f"{state}{why}"


class SlicedProjector(Projector):
    """Feeds one view from all slices of a category; see Projector.

    Each slice has its own checkpoint, which is committed with the documents of each batch. Several
    projectors share the slices: each of n projectors follows every n-th slice. When a projector
    ends or is killed, the others take over its slices within seconds. While a shard of Redis is
    down, its slices wait, and the other slices continue.

    If events of several slices change the same document, the order of these changes is undefined,
    so the view should make them with ``inc``.
    """

    def __init__(
        self,
        store: EventStore,
        mongo: Database[dict[str, Any]],
        view: View,
        *,
        batch_size: int = 5000,
    ) -> None:
        name = checked_view_name(view, mongo.name)
        check_slices(store.redis, store.all_slices()[0].keys)
        self.store = store
        self.mongo = bookkeeping(mongo)
        self.view = view
        self.batch_size = batch_size
        Following.__init__(self, name, ProjectorSession(self.mongo, name))
        self.turn = threading.RLock()  # held by the slice that folds and writes
        self.shares = Shares(self._session, self.turn)
        self.connections = limit_of(store.redis)
        self._builds = False  # whether this projector builds documents of a newer version
        self._whole = SlicedCheckpoint(store, self._session, self.name, version_of(view))
        self._parts = []
        for number, part in enumerate(store.all_slices()):
            session = SharedSession(self._session, self.turn)
            checkpoint = SliceCheckpoint(self._whole, session, part, number)
            self._parts.append(SliceProjector(self, checkpoint, number))

    # ------------------------------------------------------------------ follow

    def _follow_once(self) -> int:
        counted = sum(part.run_once() for part in self._parts)
        self._builds = False
        return counted

    def catch_up(self) -> int:
        """Apply all events that exist at the time of the call; return how many were applied.

        If a slice fails, the other slices finish first, and then the error is raised. If the
        documents were built by a lower version of the view, new documents are built first, and
        replace them.
        """
        counted = 0
        while True:
            try:
                return counted + self._catch_up()
            except ViewVersionMismatch as error:
                if error.stored > error.version:
                    raise
            while self._upgrade is not None or self._older_version() is not None:
                counted += self.run_once()

    def _catch_up(self) -> int:
        counted = 0
        failed: EventLabError | None = None
        for part in self._parts:
            try:
                counted += part.catch_up()
            except EventLabError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return counted

    def run(self, stop: threading.Event, *, poll_interval: float = 0.5) -> None:
        """Follow all slices, each in its own thread, until ``stop`` is set.

        A slice that waits for its shard of Redis does not delay the other slices. If a lower
        version of the view built the documents, newer documents are built first and replace the old
        ones. If a slice fails, all threads end, and the error is raised.
        """
        while not stop.is_set():
            try:
                self._run_slices(stop, poll_interval)
            except ViewVersionMismatch as error:
                if error.stored > error.version:
                    raise
                self._builds = True
                until_built = UntilBuilt(stop, lambda: self._builds)
                Following.run(self, until_built, poll_interval=poll_interval)

    def _run_slices(self, stop: threading.Event, poll_interval: float) -> None:
        with outages_ignored():
            # Check before the first heartbeat, after which older projectors would cede slices.
            older = self._older_version()
            if older is not None:
                raise ViewVersionMismatch(self.name, older, version_of(self.view))
        ends = threading.Event()
        failed: list[BaseException] = []

        def follow(part: SliceProjector) -> None:
            try:
                part.run(ends, poll_interval=poll_interval)
            except BaseException as error:  # noqa: BLE001 - raised again below
                failed.append(error)
                ends.set()

        threads = [threading.Thread(target=follow, args=(part,)) for part in self._parts]
        logged = ""
        try:
            self._beat()
            for thread in threads:
                thread.start()
            while not stop.is_set() and not ends.wait(min(BEAT_SECONDS, poll_interval)):
                self._beat()
                logged = self._log_states(logged)
        finally:
            ends.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            with outages_ignored():
                self.shares.leave()
        if failed:
            raise failed[0]

    def _beat(self) -> None:
        with outages_ignored():
            self.shares.beat()

    def _log_states(self, logged: str) -> str:
        states = Counter(part.state for part in self._parts if part.state)
        text = ", ".join(f"{count} slices {state}" for state, count in sorted(states.items()))
        if text != logged:
            log.info("view %s: %s", self.name, text)
        return text

    def _followers(self) -> list[Follower]:
        return [*self._parts]

    # ----------------------------------------------------------------- inspect

    def lag(self) -> ViewLag:
        """Return the lag of the view over all slices; see sum_of_lags."""
        older = self._older_version()
        if older is None:
            lags = [part.lag() for part in self._parts]
        else:
            rebuild, _ = shared_rebuild(self._whole)
            positions = self._whole.positions_of(rebuild)
            stores = self.store.all_slices()
            lags = [lag_of(*each, older) for each in zip(stores, positions, strict=True)]
        return sum_of_lags(lags)

    def _older_version(self) -> int | None:
        return self._whole.older_version()

    def wait_until(self, id: str, version: int, *, seconds: float = 10.0) -> None:
        """Wait until the view has applied a version of an aggregate.

        Only the aggregate's slice is checked.
        """
        self._parts[slice_number(id)].wait_until(id, version, seconds=seconds)

    def skip(self, position: str) -> None:
        """Skip the event at which the view has stopped in a slice; the event is never applied.

        Raises InvalidArgument if the view has not stopped at ``position`` in any slice.
        """
        checked_position(position)
        for part in self._parts:
            if part.next_position() == position:
                # Two slices may have this position: skip only the event that stops the view.
                try:
                    part.run_once()
                except ViewStopped:
                    part.skip(position)
                    return
        raise InvalidArgument(
            f"no slice of view {self.name!r} has stopped at {position}: "
            "skip the position that ViewStopped names"
        )

    # ---------------------------------------------------------------- rebuild

    def _begin_upgrade(self) -> None:
        with contextlib.suppress(RebuildOvertaken):  # the next call tries again
            self._upgrade = SlicedUpgrade.of(self, batch_size=self.batch_size)

    def rebuild(self, *, progress: bool = True) -> int:
        """Build new documents for all slices, then replace the live documents in one step."""
        try:
            with SlicedRebuild(self, batch_size=self.batch_size) as rebuild:
                return rebuild.build(progress=progress)
        finally:
            self._forget_position()

    def rebuild_one(self, id: str) -> int:
        """Rebuild the documents of one aggregate from its log.

        The projectors of other slices do not wait.
        """
        return self._parts[slice_number(id)].rebuild_one(id)

    def reset(self) -> None:
        """Delete the documents and the checkpoints.

        No projector of this view may run at the same time.
        """
        self._session.end_others()
        with SlicedRebuild(self, batch_size=self.batch_size) as rebuild:
            rebuild.remove_abandoned()
        self._whole.delete()
        self.mongo[self.name].delete_many({})
        self.store.forget_group(view_group(self.name))
        self._forget_position()
