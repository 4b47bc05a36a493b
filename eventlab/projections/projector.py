"""The Projector: it keeps a view in MongoDB up to date."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Final

from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from eventlab.errors import (
    InvalidArgument,
    RebuildOvertaken,
    VersionConflict,
    ViewLate,
    ViewVersionMismatch,
)
from eventlab.projections.checkpoint import Checkpoint
from eventlab.projections.follower import Follower
from eventlab.projections.rebuild import Rebuild
from eventlab.projections.session import MAJORITY, RETRY_SECONDS, ProjectorSession
from eventlab.projections.single import SingleRebuild
from eventlab.projections.upgrade import Upgrade, shared_rebuild
from eventlab.projections.view import Changes, View, checked_view_name, version_of
from eventlab.store.keys import checked_position, order, view_group
from eventlab.store.scripts import RAW
from eventlab.store.slices import one_stream
from eventlab.store.store import EventStore

MAX_COUNTED_EVENTS: Final = 10_000  # a longer lag is an estimate
MAX_COUNTED_BYTES: Final = 50_000_000  # so is a larger one
COUNTED_AT_ONCE: Final = 100  # events in one reply, so that Redis serves others in between


@dataclass(frozen=True)
class ViewLag:
    """The lag of a view: the events that it lacks, and the age of the oldest in seconds.

    The number is exact up to 10,000 events or 50 MB. Beyond that, ``exact`` is False and ``events``
    is an upper limit. While a projector builds the documents of a newer version of the view, the
    lag is theirs, and ``replaces`` is the version that is read until then.
    """

    position: str
    events: int
    seconds: float
    exact: bool
    replaces: int | None = field(default=None, repr=False)


class Projector(Follower):
    """Feeds one view from one category. Several may run: one is active, and the others take over.

    They may run in threads, in processes or on several machines. Run all projectors of a view as
    one MongoDB user: only then can they end the transaction of a dead projector, which otherwise
    blocks the view for up to a minute.

    ``batch_size`` is the maximum number of events in one transaction; a batch that takes too long,
    or that MongoDB cannot take, is followed by smaller ones.

    Raises InvalidName for a view whose name no collection can have.

    >>> projector = Projector(store, lab.mongo, AccountView())
    >>> projector.run_once()
    3
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
        one_stream(store)
        # The bookkeeping must not be read from a secondary that is behind, whatever the URL says.
        mongo = mongo.with_options(
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=MAJORITY,
        )
        session = ProjectorSession(mongo, name)
        super().__init__(Checkpoint(store, session, name, version_of(view)), view, batch_size)
        self._upgrade: Upgrade | None = None  # while it builds the documents of this version

    def run_once(self) -> int:
        """Apply the next batch and return how many of its events counted; 0 if nothing is new.

        If the documents are of a lower version of the view, it applies the batch to new ones beside
        them; when these have all events, they replace the others.

        Raises ViewStopped at an event that the view cannot apply or MongoDB cannot store, after it
        has applied all events before it; ViewAhead, CategoryMismatch, ViewVersionMismatch or
        CheckpointMissing if the documents belong to another log, category or a higher version, or
        count unknown events.
        """
        while True:
            try:
                if self._upgrade is not None:
                    return self._upgrade.advance()
                return super().run_once()
            except RebuildOvertaken:
                self._end_upgrade()
            except ViewVersionMismatch as error:
                if error.stored > error.version:
                    raise
                self._begin_upgrade()

    def close(self) -> None:
        """End the MongoDB session. The projector can be used again; it then starts a new one."""
        if self._upgrade is not None:
            self._upgrade.close()
            self._upgrade = None
        super().close()

    def _older_version(self) -> int | None:
        """Return the version of the documents if it is lower than that of the view."""
        try:
            self._checkpoint.checked()
        except ViewVersionMismatch as error:
            if error.stored > error.version:
                raise
            return error.stored
        return None

    def _begin_upgrade(self) -> None:
        with contextlib.suppress(RebuildOvertaken):  # look again
            self._upgrade = Upgrade.of(self, self._checkpoint, batch_size=self._max_batch_size)

    def _end_upgrade(self) -> None:
        self.position = None
        if self._upgrade is not None:
            self._upgrade.remove()
            self._upgrade.close()
            self._upgrade = None

    def _current(self) -> Follower:
        return self._upgrade or self

    def _active(self) -> str:
        if self._upgrade is None:
            return super()._active()
        return f"building version {self._checkpoint.version}; the older one stays readable"

    def lag(self) -> ViewLag:
        """Return how far the view is behind the category.

        Raises CategoryMismatch, ViewVersionMismatch or CheckpointMissing if the view cannot follow
        the category.

        >>> projector.lag()
        ViewLag(position='1551312847014-0', events=0, seconds=0.0, exact=True)
        """
        redis = self.store.redis
        stream = self.store.keys.stream
        older = self._older_version()
        position = self._checkpoint.read().position
        if older is not None:
            _, position = shared_rebuild(self._checkpoint)
        oldest = last = position
        events = 0
        size = 0
        exact = False
        while not exact and events < MAX_COUNTED_EVENTS and size < MAX_COUNTED_BYTES:
            count = min(COUNTED_AT_ONCE, MAX_COUNTED_EVENTS - events)
            page = redis.execute_command("XRANGE", stream, f"({last}", "+", "COUNT", count, **RAW)
            exact = len(page) < count
            if page and not events:
                oldest = page[0][0].decode()
            events += len(page)
            size += sum(len(value) for _, fields in page for value in fields.values())
            last = page[-1][0].decode() if page else last
        seconds = redis.time()[0] - order(oldest)[0] / 1000 if events else 0.0
        if not exact:
            events = redis.xlen(stream)
        return ViewLag(position, events, max(0.0, seconds), exact=exact, replaces=older)

    def wait_until(self, id: str, version: int, *, seconds: float = 10.0) -> None:
        """Wait until the view holds a version of an aggregate, so that writers can read their
        writes.

        Raises VersionConflict if the aggregate has no such version, ViewLate after ``seconds``.
        """
        found = self.store.read(id, after=version - 1, limit=1)
        if not found:
            raise VersionConflict(id, version, self.store.version(id))
        end = time.monotonic() + seconds
        pause = 0.001
        while self._older_version() is not None or order(
            self._checkpoint.checked().position
        ) < order(found[0].position):
            if time.monotonic() > end:
                raise ViewLate(self.name, id, version)
            time.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS)

    def skip(self, position: str) -> None:
        """Skip the event at which the view has stopped; it will never count.

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

    def rebuild(self, *, progress: bool = True) -> int:
        """Rebuild the view next to the live one, swap them, and return how many events it counted.

        Readers see the old documents, then the new ones, and never a gap. A cursor that is open
        during the swap ends with pymongo's OperationFailure: open it again. A change stream on the
        view ends with an ``invalidate`` event: open a new one. Projectors may run, and
        continue afterwards. The indexes and options of the collection are kept. The rebuild is
        complete even after a trim, because it reads the aggregate logs. ``progress`` shows a bar.

        Raises ViewStopped, and the live view stays as it was; RebuildOvertaken if another rebuild
        started later; CategoryMismatch if the documents are of another category; Trimmed if events
        are in no aggregate log.

        >>> projector.rebuild()
        3
        """
        try:
            with Rebuild(self, batch_size=self._max_batch_size) as rebuild:
                return rebuild.build(progress=progress)
        finally:
            self.position = None  # the last known one belonged to the old documents

    def rebuild_one(self, id: str) -> int:
        """Rebuild the documents of one aggregate from its log; return how many events it counted.

        It replaces the documents that the events of the aggregate change. Projectors may run: they
        wait for the moment of the replacement, and each event counts once.

        Raises NotPerAggregate for a view without ``per_aggregate = True``, ViewStopped at an event
        that cannot be applied, and the errors of ``lag``; the documents then stay as they were.

        >>> projector.rebuild_one("JohnDoe")
        3
        """
        return SingleRebuild(self._checkpoint, self.view, id).build()

    def reset(self) -> None:
        """Delete the documents and the checkpoint.

        No projector of this view may run at the same time.
        """
        # A dead projector's transaction would lock the checkpoint for a minute.
        self._session.end_others()
        with Rebuild(self, batch_size=self._max_batch_size) as rebuild:
            rebuild.remove_abandoned()
        self._checkpoint.delete()
        self.mongo[self.name].delete_many({})
        self.store.forget_group(view_group(self.name))
        self.position = None
