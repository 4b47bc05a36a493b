"""The Projector: it keeps a view in MongoDB up to date."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from pymongo.database import Database

from eventlab.errors import InvalidArgument, VersionConflict, ViewLate
from eventlab.projections.checkpoint import Checkpoint
from eventlab.projections.follower import Follower
from eventlab.projections.rebuild import Rebuild
from eventlab.projections.session import RETRY_SECONDS, ProjectorSession
from eventlab.projections.view import Changes, View
from eventlab.store.keys import checked_position, order
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore
from eventlab.store.stream import CategoryStream

MAX_COUNTED_EVENTS: Final = 10_000  # a longer lag is an estimate


@dataclass(frozen=True)
class ViewLag:
    """What a view does not hold yet: how many events, and the age of the oldest in seconds.

    The number is exact up to 10,000 events. Beyond that, ``exact`` is False and ``events`` is
    an upper limit.
    """

    position: str
    events: int
    seconds: float
    exact: bool


class Projector(Follower):
    """Feeds one view from one category. Several may run: one is active, and the others take over.

    They may run in threads, in processes or on several machines.

    ``batch_size`` is the maximum of events in one transaction; a batch that takes too long is
    followed by smaller ones.

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
        session = ProjectorSession(mongo, view.name)
        checkpoint = Checkpoint(store, mongo, view.name, session)
        super().__init__(
            store, mongo, view, session=session, checkpoint=checkpoint, batch_size=batch_size
        )

    def lag(self) -> ViewLag:
        """Return how far the view is behind the category.

        >>> projector.lag()
        ViewLag(position='1551312847014-0', events=0, seconds=0.0, exact=True)
        """
        redis = self.store.redis
        stream = self.store.keys.stream
        position = self._checkpoint.read().position
        waiting = redis.execute_command(
            "XRANGE", stream, f"({position}", "+", "COUNT", MAX_COUNTED_EVENTS, **RAW
        )
        seconds = redis.time()[0] - order(waiting[0][0].decode())[0] / 1000 if waiting else 0.0
        exact = len(waiting) < MAX_COUNTED_EVENTS
        events = len(waiting) if exact else redis.xlen(stream)
        return ViewLag(position, events, max(0.0, seconds), exact=exact)

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
        while order(self._checkpoint.read().position) < order(found[0].position):
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
            now = self._checkpoint.read().position
            entries = CategoryStream(self.store.redis, self.store.keys).entries(after=now, limit=1)
            following = next((at.decode() for at, _ in entries), "no event")
            if following != checked_position(position):
                raise InvalidArgument(
                    f"the next event of view {self.name!r} is {following}, not {position}: "
                    "skip the event that ViewStopped names"
                )
            if self._write(Changes(), now, position):
                return
            while self._checkpoint.read_unfenced() is None:
                pass  # a rebuild is about to replace the documents

    def rebuild(self, *, progress: bool = True) -> int:
        """Rebuild the view next to the live one, swap them, and return how many events it counted.

        Readers see the old documents, then the new ones, and never a gap. A cursor that is open
        during the swap ends with pymongo's OperationFailure: open it again. Projectors may run, and
        continue afterwards. The rebuild is complete even after a trim, because it reads the
        aggregate logs. ``progress`` shows a bar.

        Raises ViewStopped, and the live view stays as it was; RebuildOvertaken if another rebuild
        started later; Trimmed if events are in no aggregate log.

        >>> projector.rebuild()
        3
        """
        try:
            with Rebuild(self, batch_size=self._max_batch_size) as rebuild:
                return rebuild.build(progress=progress)
        finally:
            self.position = None  # the last known one belonged to the old documents

    def reset(self) -> None:
        """Delete the documents and the checkpoint.

        No projector of this view may run at the same time.
        """
        # A dead projector's transaction would lock the checkpoint for a minute.
        self._session.end_others()
        self._checkpoint.delete()
        self.mongo[self.name].delete_many({})
        self.store.forget_group(self.name)
        self.position = None
