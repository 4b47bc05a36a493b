"""The base class of projectors, which update, upgrade, rebuild and reset a view's documents."""

from __future__ import annotations

import contextlib
import time

from eventlab.errors import RebuildOvertaken, VersionConflict, ViewLate, ViewVersionMismatch
from eventlab.projections.follower import Follower
from eventlab.projections.following import Following
from eventlab.projections.lag import ViewLag, lag_of
from eventlab.projections.rebuild import Rebuild
from eventlab.projections.session import RETRY_SECONDS
from eventlab.projections.upgrade import Upgrade, shared_rebuild
from eventlab.store.keys import order


class Live(Following):
    """The base class of ``Projector`` and ``JoinedProjector``."""

    _upgrade: Upgrade | None = None  # while this projector builds newer documents

    def run_once(self) -> int:
        """Apply the next batch and return how many events were applied (0 if none are new).

        If a lower version of the view built the documents, the batch is applied to new documents
        alongside the old ones. When the new documents have caught up, they replace the old ones.

        Raises ViewStopped at an event that the view cannot apply, or whose changes MongoDB cannot
        store; all earlier events are applied first. Raises ViewAhead, CategoryMismatch,
        ViewVersionMismatch or CheckpointMissing if the documents belong to another log, to another
        category or to a higher version, or if it is unknown which events the documents include.
        """
        while True:
            try:
                if self._upgrade is not None:
                    return self._upgrade.advance()
                return self._follow_once()
            except RebuildOvertaken:
                self._forget_position()
                if self._upgrade is not None:
                    self._upgrade.remove()
                    self._upgrade.close()
                    self._upgrade = None
            except ViewVersionMismatch as error:
                if error.stored > error.version:
                    raise
                self._begin_upgrade()

    def rebuild(self, *, progress: bool = True) -> int:
        """Build new documents, replace the live ones, and return how many events were applied.

        Readers always see either the old documents or the new ones. A cursor that is open during
        the replacement fails with pymongo's OperationFailure, so open a new cursor. A change stream
        on the view ends with an ``invalidate`` event, so open a new change stream. Projectors may
        run at the same time, and they continue afterwards. The indexes and options of the
        collection are kept. The rebuild is complete even after a trim, because it reads the
        aggregate logs. If ``progress`` is True, a progress bar is shown.

        Raises ViewStopped at an event that cannot be applied; the live view is then unchanged.
        Raises RebuildOvertaken if another rebuild started later, CategoryMismatch if the documents
        belong to another category, and Trimmed if events are missing from the aggregate logs.

        >>> projector.rebuild()
        3
        """
        try:
            with Rebuild(self, batch_size=self._largest_batch()) as rebuild:
                return rebuild.build(progress=progress)
        finally:
            self._forget_position()  # the last known position belonged to the old documents

    def reset(self) -> None:
        """Delete the documents and the checkpoint.

        No projector of this view may run at the same time.
        """
        # Otherwise, a dead projector's transaction could lock the checkpoint for a minute.
        self._session.end_others()
        with Rebuild(self, batch_size=self._largest_batch()) as rebuild:
            rebuild.remove_abandoned()
        checkpoint = self._followers()[0]._checkpoint
        checkpoint.delete()
        self._session.mongo[self.name].delete_many({})
        checkpoint.forget_groups(self.name)
        self._forget_position()

    def close(self) -> None:
        """End the MongoDB session. If the projector is used again, it starts a new session."""
        if self._upgrade is not None:
            self._upgrade.close()
            self._upgrade = None
        super().close()

    def _lag(self) -> list[ViewLag]:
        """Return the lag in each stream."""
        followers = self._followers()
        older = self._older_version()
        positions = self._stored_positions()
        if older is not None:
            _, positions = shared_rebuild(followers[0]._checkpoint)
        pairs = zip(followers, positions, strict=True)
        return [lag_of(each.store, position, older) for each, position in pairs]

    def _wait_until(self, follower: Follower, id: str, version: int, seconds: float) -> None:
        found = follower.store.read(id, after=version - 1, limit=1)
        if not found:
            raise VersionConflict(id, version, follower.store.version(id))
        end = time.monotonic() + seconds
        pause = 0.001
        while self._older_version() is not None or order(
            follower._checkpoint.checked().position
        ) < order(found[0].position):
            if time.monotonic() > end:
                raise ViewLate(self.name, id, version)
            time.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS)

    def _older_version(self) -> int | None:
        """Return the version of the documents if it is lower than the view's version, else None."""
        try:
            self._followers()[0]._checkpoint.checked()
        except ViewVersionMismatch as error:
            if error.stored > error.version:
                raise
            return error.stored
        return None

    def _largest_batch(self) -> int:
        return self._followers()[0].max_batch_size

    def _follow_once(self) -> int:
        return super().run_once()

    def _begin_upgrade(self) -> None:
        with contextlib.suppress(RebuildOvertaken):  # the next call tries again
            self._upgrade = Upgrade.of(self, batch_size=self._largest_batch())

    def _current(self) -> Following:
        return self._upgrade or self

    def _active_state(self) -> str:
        if self._upgrade is None:
            return super()._active_state()
        version = self._followers()[0]._checkpoint.version
        return f"building version {version}; the older one stays readable"
