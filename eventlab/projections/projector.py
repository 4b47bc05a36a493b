"""The Projector, which keeps a view in MongoDB up to date."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from eventlab.projections.checkpoint import Checkpoint
from eventlab.projections.follower import Follower
from eventlab.projections.lag import ViewLag
from eventlab.projections.live import Live
from eventlab.projections.session import ProjectorSession, bookkeeping
from eventlab.projections.single import SingleRebuild
from eventlab.projections.view import View, checked_view_name, version_of
from eventlab.store.slices import Sliceable, one_stream
from eventlab.store.store import EventStore


class Projector(Sliceable, Live, Follower):
    """Applies the events of one category to one view, each event exactly once.

    Several projectors of a view may run at once, in threads, in processes or on several machines.
    One of them is active; when it ends, another takes over. Run all of them as the same MongoDB
    user. Only then can they end the transaction of a dead projector. Otherwise, this transaction
    blocks the view for up to a minute.

    ``batch_size`` is the maximum number of events in one transaction. After a batch that takes too
    long or is too large for MongoDB, the batches become smaller.

    Raises InvalidName if the name of the view is not valid for a collection.

    >>> projector = Projector(store, lab.mongo, AccountView())
    >>> projector.run_once()
    3
    """

    _sliced = "eventlab.slices.projector", "SlicedProjector"

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
        session = ProjectorSession(bookkeeping(mongo), name)
        checkpoint = Checkpoint(store, session, name, version_of(view))
        Follower.__init__(self, checkpoint, view, batch_size)

    def lag(self) -> ViewLag:
        """Return the lag of the view.

        Raises CategoryMismatch, ViewVersionMismatch or CheckpointMissing if the view cannot follow
        the category.

        >>> projector.lag()
        ViewLag(position='1551312847014-0', events=0, seconds=0.0, exact=True)
        """
        [lag] = self._lag()
        return lag

    def wait_until(self, id: str, version: int, *, seconds: float = 10.0) -> None:
        """Wait until the view has applied a version of an aggregate.

        Call this method before you read your own writes. Raises VersionConflict if the aggregate
        has no such version, and ViewLate after ``seconds``.
        """
        self._wait_until(self, id, version, seconds)

    def rebuild_one(self, id: str) -> int:
        """Rebuild the documents of one aggregate from its log; return how many events were applied.

        The method replaces the documents that the events of the aggregate change. Projectors may
        run at the same time. They wait while the documents are replaced, and each event is applied
        exactly once.

        Raises NotPerAggregate for a view without ``per_aggregate = True``, ViewStopped at an event
        that cannot be applied, and the errors of ``lag``. After an error, the documents are
        unchanged.

        >>> projector.rebuild_one("JohnDoe")
        3
        """
        return SingleRebuild(self._checkpoint, self.view, id).build()
