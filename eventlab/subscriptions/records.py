"""The records that a subscription returns: its parked events and its lag."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from eventlab.events import Recorded


@dataclass(frozen=True)
class Parked:
    """A parked event (dead letter), with its last error, its counts, and the time of parking.

    ``event`` is None if the event can no longer be read; ``error`` says why.
    """

    position: str
    event: Recorded | None
    error: str
    failures: int
    deliveries: int
    time: datetime


class Lag(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """The lag of a subscription: how many events are new, pending, or waiting for a retry.

    In an ordered subscription, ``blocked`` events wait for an earlier event of their aggregate,
    which may be parked. Parked events are counted separately. If ``exact`` is False, ``new`` is an
    estimate, because Redis has lost count (for example, when an entry was deleted) and there are
    more than 10,000 new events. ``paused`` is True during a pause after an outage.
    """

    new: int
    pending: int
    waiting: int
    parked: int
    exact: bool
    blocked: int = 0
    paused: bool = False

    @property
    def events(self) -> int:
        """The number of unfinished events."""
        return self.new + self.pending + self.waiting + self.blocked
