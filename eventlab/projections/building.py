"""The ``Follower`` of a rebuild. It reads trimmed events from the aggregate logs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from eventlab.errors import Trimmed
from eventlab.events import Recorded
from eventlab.projections.checkpoint import RebuildCheckpoint
from eventlab.projections.follower import Follower
from eventlab.projections.logs import events_of_logs
from eventlab.projections.read_ahead import SizedEvent, batch_of
from eventlab.projections.view import View


class Building(Follower):
    """A ``Follower`` whose documents are not yet visible to readers."""

    def __init__(self, own: RebuildCheckpoint, view: View, batch_size: int) -> None:
        super().__init__(own, view, batch_size)
        self.own = own
        self._logs: Iterator[SizedEvent] | None = None  # None while the logs are not in use
        self._taken: list[SizedEvent] = []  # the last batch taken from the logs
        self._taken_after = ""  # the position before that batch
        self._resumes = True  # at the start, and after another projector has continued

    def run_once(self) -> int:
        """Apply the next batch and return how many of its events were applied.

        The batch is then dropped from memory. Otherwise, a rebuild of 64 slices would keep a batch
        of each slice.
        """
        counted = super().run_once()
        if self._taken and self._taken[-1][0].position == self.position:
            self._taken = self._taken[-1:]
        return counted

    def _read(self, position: str) -> list[Recorded]:
        """Return the next batch, from the aggregate logs if the stream was trimmed."""
        if self._logs is not None and position == self._taken_after:
            # The batch failed, so its events are needed again.
            self._logs = chain(self._taken, self._logs)
            self._taken = []
        elif self._logs is not None and position != self._taken[-1][0].position:
            self._logs = None
            self._resumes = True  # another projector, which shares this rebuild, has continued
        if self._resumes:
            self._resumes = False
            try:
                next(self._stream.entries(limit=1), None)
            except Trimmed:
                # A stream that was trimmed anywhere may also have gaps after this position.
                self._logs = events_of_logs(self.store, after=position)
        try:
            events = super()._read(position)
            if events or self._logs is None:
                return events
            # Once in use, the logs are read to the end, because the stream may have gaps after its
            # first entry.
            self._logs = None
            return super()._read(position)
        except Trimmed:
            self._logs = events_of_logs(self.store, after=position)
            events = super()._read(position)
            if not events:
                self._logs = None
                raise
            return events

    def _events(self, position: str, limit: int) -> Iterator[Recorded]:
        if self._logs is None:
            yield from super()._events(position, limit)
            return
        self._taken_after = position
        self._taken = []
        for each in batch_of(self._logs, limit):
            self._taken.append(each)
            yield each[0]

    def _limit_ahead(self, good: int) -> int:
        return super()._limit_ahead(good) if self._logs is None else 0

    def _lacks(self, position: str) -> bool:
        # An event may be missing from the stream although the aggregate log still has it.
        return self._event is None and self._logs is None and super()._lacks(position)
