"""The ledger: the mails' events, and what one round has added to them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import redis.exceptions

from eventlab.errors import CommandRejected, VersionConflict
from eventlab.events import Recorded
from eventlab.mailroom.durability import Disk
from eventlab.mailroom.summary import Summary
from eventlab.mailroom.work_item import WorkItem
from eventlab.mailroom.worklist import Worklist
from eventlab.repository import Repository
from eventlab.store.store import EventStore

log = logging.getLogger(__name__)

DOWN: Final = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
RECORD_SECONDS: Final = 30.0  # that an outcome is kept in memory while Redis is away


class Ledger:
    """The work items of one store: loaded, saved, and counted for a summary. One round at a time.

    >>> ledger = Ledger(store)
    >>> ledger.load("18c2a0b1c2d3e4f5").status
    'new'
    """

    def __init__(self, store: EventStore) -> None:
        self.store, self.disk, self.worklist = store, Disk(store), Worklist(store)
        self.counts = Counter[str]()
        self._items = Repository(store, WorkItem)

    def begin(self) -> None:
        """A round begins: nothing is counted yet.

        Example: ``ledger.begin()``
        """
        self.counts.clear()

    def summary(self, problem: str = "") -> Summary:
        """What the round has come to.

        Example: ``ledger.summary().submitted``
        """
        self.worklist.refresh()
        return Summary(
            **self.counts,
            waiting=len(list(self.worklist.of("received"))),
            open=len(list(self.worklist.of("in_doubt", "held"))),
            problem=problem,
        )

    def load(self, id: str) -> WorkItem:
        """A mail as it is now.

        Example: ``ledger.load("18c2a0b1c2d3e4f5").status``
        """
        return self._items.load(id)

    def save(self, item: WorkItem, count: str = "") -> bool:
        """Record what was decided, and count it; False if another router has it.

        Example: ``ledger.save(item, "skipped")``
        """
        try:
            self._items.save(item)
        except VersionConflict:
            log.debug("mail %s: another router has it", item.id)
            return False
        if count:
            self.counts[count] += 1
            level = logging.WARNING if count == "held" else logging.INFO
            log.log(level, "mail %s: %s: %s", item.id, item.status, item.reason)
        return True

    def decide(self, id: str, outcome: Callable[[WorkItem], None]) -> list[Recorded]:
        """Record an outcome on whatever the mail is by now; raises what ``outcome`` raises.

        Example: ``ledger.decide(id, lambda item: item.resend(now))``
        """
        return self._items.retry(id, outcome)

    def close(self, id: str, outcome: Callable[[WorkItem], None]) -> str:
        """Record and count what came of an attempt, waiting for a Redis that is away: it is known nowhere else.

        Gives the type of its event, "" if nothing was left to be said.

        Example: ``ledger.close(id, lambda item: item.accepted(1, "412345678900000001"))``
        """
        decided = list[WorkItem]()

        def decide(item: WorkItem) -> None:
            decided[:] = [item]
            outcome(item)

        end = time.monotonic() + RECORD_SECONDS
        while True:
            try:
                recorded = self._items.retry(id, decide)
                break
            except DOWN:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            except CommandRejected as error:  # recorded by a try of ours whose answer was lost
                log.debug("%s", error)
                return ""
        if not recorded:
            return ""
        return self._count(decided[0], recorded[-1])

    def _count(self, item: WorkItem, event: Recorded) -> str:
        taken = "submitted" in (event.type, event.data.get("outcome"))
        self.counts["submitted"] += taken
        self.counts["twice"] += taken and item.taken > 1
        self.counts["refused"] += event.type == "refused"
        self.counts["held"] += event.type in ("held", "in_doubt")
        reason = f": {item.reason}" if item.reason else ""
        log.log(
            logging.INFO if taken else logging.WARNING,
            "mail %s: %s%s",
            item.id,
            item.status,
            reason,
        )
        return "submitted" if taken else event.type
