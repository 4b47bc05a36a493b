"""Loads and saves the work items of a category, even if several routers run at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from eventlab.errors import CommandRejected, VersionConflict
from eventlab.events import Recorded
from eventlab.mailroom.work_item import WorkItem
from eventlab.repository import Repository
from eventlab.store.answers import SERVER_ERRORS, is_outage
from eventlab.store.store import EventStore

log = logging.getLogger(__name__)

MAX_OUTAGE_SECONDS: Final = 30.0  # how long to wait for Redis to store an outcome
RETRY_SECONDS: Final = 0.1


class WorkItems:
    """The repository of one store's work items.

    >>> work_items = WorkItems(store)
    >>> work_items.load("18c2a0b1c2d3e4f5").status
    'new'
    """

    def __init__(self, store: EventStore) -> None:
        self._repository = Repository(store, WorkItem)

    def load(self, id: str) -> WorkItem:
        """Return the current work item of an email."""
        return self._repository.load(id)

    def save(self, item: WorkItem) -> list[Recorded] | None:
        """Save a work item; return the recorded events, or None if another router changed it."""
        try:
            return self._repository.save(item)
        except VersionConflict:
            log.debug("email %s: another router is handling it", item.id)
            return None

    def decide(self, id: str, decision: Callable[[WorkItem], None]) -> list[Recorded]:
        """Record a decision, and retry it on the new state after a conflict.

        Raises any error that ``decision`` raises.
        """
        return self._repository.retry(id, decision)

    def record_outcome(
        self, id: str, outcome: Callable[[WorkItem], None]
    ) -> tuple[WorkItem, Recorded] | None:
        """Record the outcome of an attempt, retrying for up to 30 seconds if Redis is down.

        The outcome must not be lost, because only this process knows it. Returns the work item and
        the event of the outcome, or None if there was nothing new to record.
        """
        decided = list[WorkItem]()

        def decide(item: WorkItem) -> None:
            decided[:] = [item]
            outcome(item)

        end = time.monotonic() + MAX_OUTAGE_SECONDS
        while True:
            try:
                recorded = self._repository.retry(id, decide)
                break
            except SERVER_ERRORS as error:
                if not is_outage(error) or time.monotonic() > end:
                    raise
                time.sleep(RETRY_SECONDS)
            except CommandRejected as error:  # it was recorded before, but the reply was lost
                log.debug("%s", error)
                return None
        return (decided[0], recorded[-1]) if recorded else None
