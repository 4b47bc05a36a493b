"""Counts how many emails each sender sent within an hour, based on the recorded events."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from eventlab.events import Recorded

#: The ranks for a sender and hour are dropped after a day without another such email.
KEPT: Final = timedelta(days=1)


@dataclass
class _Hour:
    last: datetime
    ranks: dict[str, int] = field(default_factory=dict)


class SenderCounts:
    """Ranks each email among the emails of the same sender and hour, in commit order.

    A rank depends only on the events, so all routers get the same ranks, even after a restart.

    >>> counts = SenderCounts()
    >>> counts.add(Recorded("18c2", 1, "received", {"date": 5, "sender_hour": "7a"}, "1-0"))
    1
    """

    def __init__(self) -> None:
        self._hours: OrderedDict[str, _Hour] = OrderedDict()

    def add(self, event: Recorded) -> int:
        """Count the email of a ``received`` event, and return its rank.

        The first email of its sender in an hour has rank 1. The rank is 0 if the event has no
        ``sender_hour``.
        """
        name = event.data.get("sender_hour")
        if not name:
            return 0
        while self._hours and event.time - next(iter(self._hours.values())).last > KEPT:
            self._hours.popitem(last=False)
        hour = self._hours.setdefault(name, _Hour(event.time))
        hour.last = event.time
        # An email that returns to the inbox is received again and keeps its rank.
        rank = hour.ranks.setdefault(event.id, len(hour.ranks) + 1)
        self._hours.move_to_end(name)
        return rank
