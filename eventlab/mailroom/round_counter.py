"""Counts and logs what a router's round has done so far with each email."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from eventlab.events import Recorded
from eventlab.mailroom.summary import Summary
from eventlab.mailroom.work_item import WorkItem

log = logging.getLogger(__name__)

#: For each status that a decision can lead to, the count to increase (other statuses: none).
COUNTED_AS: Final = {"skipped": "skipped", "held": "held", "in_doubt": "held"}


class RoundCounter:
    """Counts the emails of the current round for the router, its inbox and its sender.

    >>> counter = RoundCounter()
    >>> counter.add_listed(3)
    >>> counter.summary(waiting=3, open=0).listed
    3
    """

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def start(self) -> None:
        """Start a round: reset all counts to zero."""
        self._counts.clear()

    def add_listed(self, count: int) -> None:
        """Count the emails that Gmail listed."""
        self._counts["listed"] += count

    def add_new(self) -> None:
        """Count an email that was not known before."""
        self._counts["new"] += 1

    def add_decision(self, item: WorkItem) -> None:
        """Count and log an email that was skipped, held or marked as in doubt."""
        if counted_as := COUNTED_AS.get(item.status):
            self._counts[counted_as] += 1
            level = logging.WARNING if counted_as == "held" else logging.INFO
            log.log(level, "email %s: %s: %s", item.id, item.status, item.reason)

    def add_outcome(self, item: WorkItem, event: Recorded) -> None:
        """Count and log the outcome that ``event`` records; ``item`` is the email afterwards."""
        accepted = "submitted" in (event.type, event.data.get("outcome"))
        self._counts["submitted"] += accepted
        self._counts["duplicates"] += accepted and item.accepted_count > 1
        self._counts["refused"] += event.type == "refused"
        self._counts["held"] += event.type in ("held", "in_doubt")
        reason = f": {item.reason}" if item.reason else ""
        level = logging.INFO if accepted else logging.WARNING
        log.log(level, "email %s: %s%s", item.id, item.status, reason)

    def summary(self, *, waiting: int, open: int, problem: str = "") -> Summary:
        """Return the summary of the round; ``Summary`` explains the arguments."""
        return Summary(**self._counts, waiting=waiting, open=open, problem=problem)
