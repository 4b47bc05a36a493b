"""A rebuild of the documents of one aggregate from its log, while projectors run.

The rebuild reads the log up to the position of the view, stops the projectors with a fence, and
reads on to the position where the projectors stopped. Then it replaces the documents in one
transaction, which requires the fence to be intact. So each event is applied once: the rebuild
applies the events up to that position, and a projector applies the later ones.
"""

from __future__ import annotations

import secrets
from typing import Any

from pymongo import DeleteOne, UpdateOne
from pymongo.client_session import ClientSession

from eventlab.errors import EventLabError, NotPerAggregate, ViewAhead, ViewStopped
from eventlab.events import Recorded
from eventlab.projections.checkpoint import Checkpoint
from eventlab.projections.follower import writes_of
from eventlab.projections.identity import identify
from eventlab.projections.view import Changes, View
from eventlab.store.answers import is_outage, misconfiguration, reason
from eventlab.store.keys import order


class SingleRebuild:
    """The rebuild of the documents that the events of one aggregate change."""

    def __init__(self, checkpoint: Checkpoint, view: View, id: str) -> None:
        if not getattr(view, "per_aggregate", False):
            raise NotPerAggregate(view.name)
        self._checkpoint = checkpoint
        self._view = view
        self._id = id
        self._fence = f"{checkpoint.name}.one-{secrets.token_hex(4)}"
        self._begin()

    def _begin(self) -> None:
        self._counted = 0
        self._last: Recorded | None = None
        self._ids: dict[Any, None] = {}  # of the documents, in order of their first change
        self._writes: list[DeleteOne | UpdateOne] = []

    def build(self) -> int:
        """Replace the documents, and return how many events were applied."""
        try:
            while True:
                state = self._checkpoint.read_unfenced()
                if state is not None:
                    self._fold(self._checkpoint.checked(state).position)
                    if self._replace():
                        return self._counted
        finally:
            self._checkpoint.lift(self._fence)

    def _replace(self) -> bool:
        self._checkpoint.fence(self._fence)
        state = self._checkpoint.checked()
        _, held, _ = identify(self._checkpoint.store, state.position, state.event, None)
        if not held:
            raise ViewAhead(self._view.name, state.position, self._checkpoint.store.head())
        self._fold(state.position)
        documents = self._checkpoint.session.mongo[self._view.name]
        writes = [*(DeleteOne({"_id": each}) for each in self._ids), *self._writes]

        def lift_and_write(session: ClientSession) -> bool:
            # While the fence is in place, the position does not move.
            lifted = self._checkpoint.lift(self._fence, session)
            if lifted and writes:
                documents.bulk_write(writes, session=session)
            return lifted

        session = self._checkpoint.session
        try:
            return bool(session.transact(lift_and_write, obstacle=("fence", self._fence)))
        except Exception as error:
            if isinstance(error, EventLabError) or is_outage(error) or self._last is None:
                raise
            raise misconfiguration(error) or self._stopped(self._last, error) from error

    def _fold(self, position: str) -> None:
        """Fold the events of the aggregate up to a position, except those already folded."""
        if self._last is not None and order(self._last.position) > order(position):
            self._begin()  # a rebuild has replaced all documents with those of an earlier position
        for page in self._checkpoint.store.pages(self._id, after=self._counted):
            changes = Changes()
            events = [each for each in page.events if order(each.position) <= order(position)]
            for event in events:
                try:
                    self._view.apply(event, changes)
                except Exception as error:
                    raise self._stopped(event, error) from error
                self._last = event
            self._counted += len(events)
            self._ids |= dict.fromkeys(changes)
            self._writes += writes_of(changes)
            if len(events) < len(page.events):
                return

    def _stopped(self, event: Recorded, error: Exception) -> ViewStopped:
        return ViewStopped(self._view.name, event, error, reason(error))
