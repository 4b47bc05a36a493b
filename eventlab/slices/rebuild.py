"""Rebuilds a view over slices with one projector, or upgrades the view with several projectors."""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

from eventlab.errors import RebuildOvertaken, ViewVersionMismatch
from eventlab.projections.building import Building
from eventlab.projections.projector import Projector
from eventlab.projections.rebuild import Rebuild
from eventlab.projections.session import RETRY_SECONDS, ProjectorSession
from eventlab.projections.several import Several
from eventlab.projections.upgrade import Upgrade
from eventlab.projections.view import version_of
from eventlab.slices.checkpoints import SlicedCheckpoint, SlicedRebuildCheckpoint
from eventlab.store.keys import order

NEAR_SECONDS: Final = 2.0  # less than the time limit of a fence, during which the rest is applied
NEAR_ROUNDS: Final = 5


class SlicedRebuild(Rebuild):
    """Builds new documents alongside the live ones, then replaces all live ones in one step."""

    def __init__(self, live: Projector, *, batch_size: int, name: str = "") -> None:
        session = ProjectorSession(live.mongo, live.name)
        name = name or f"{live.name}.rebuild-{secrets.token_hex(4)}"
        version = version_of(live.view)
        own = SlicedRebuildCheckpoint(live.store, session, name, version)
        self._live = SlicedCheckpoint(live.store, session, live.name, version)
        Several.__init__(self, [Building(part, live.view, batch_size) for part in own.parts])
        self._own = own
        self.mongo = session.mongo
        self._counted = 0
        self._bar = None

    def catch_up(self) -> int:
        """Apply all events that exist at the time of the call, slice by slice; return how many."""
        counted = 0
        for part in self._parts:
            more = part.catch_up()
            counted += more
            if self._bar is not None:
                self._bar.update(more)
        self._counted += counted
        return counted


class SlicedUpgrade(SlicedRebuild, Upgrade):
    """Builds the documents of a newer version of a view's code alongside the live ones.

    All projectors of the newer version build all slices. If two projectors read the same batch,
    only the faster one commits it. Each projector begins with a random slice, so two of them seldom
    read the same batch.
    """

    def __init__(self, live: Projector, *, batch_size: int, name: str = "") -> None:
        SlicedRebuild.__init__(self, live, batch_size=batch_size, name=name)
        self._whole = SlicedCheckpoint(live.store, self._session, live.name, self._own.version)
        self._live.swaps_only = {"version": {"$not": {"$gte": self._own.version}}}
        first = random.randrange(len(self._parts))
        self._parts = [*self._parts[first:], *self._parts[:first]]
        self._near_rounds = 0

    def advance(self) -> int:
        """Apply the next batch of each slice, and return how many events were applied.

        When all slices have caught up, the new documents replace the live ones. If new events
        arrive in every round, this happens after several rounds in a row with only a small lag.
        Raises the errors of ``Upgrade.advance``.
        """
        counted = self.run_once()
        behind = self._seconds_behind()
        self._near_rounds = self._near_rounds + 1 if behind <= NEAR_SECONDS else 0
        if (not counted and not behind) or self._near_rounds > NEAR_ROUNDS:
            self._near_rounds = 0
            self._require_older()
            self.remove_abandoned(keep=self._newer())
            if self._swap():
                raise RebuildOvertaken(self._live.name)
        return counted

    def _seconds_behind(self) -> float:
        """Return the largest lag of a slice, in seconds, from its position to its newest event."""
        positions = self._whole.positions_of(self.name)
        most = 0.0
        for store, position in zip(self._whole.store.all_slices(), positions, strict=True):
            head = order(store.head())
            if order(position) < head:
                most = max(most, 0.001, (head[0] - order(position)[0]) / 1000)
        return most

    def _is_active(self) -> bool:
        return True

    def _require_older(self) -> None:
        older = None
        with contextlib.suppress(ViewVersionMismatch):
            older = self._whole.older_version()
        if older is None:
            raise RebuildOvertaken(self._live.name)

    def _wait(self, seconds: float) -> None:
        time.sleep(min(seconds, RETRY_SECONDS))


class UntilBuilt(threading.Event):
    """A threading.Event that is set when ``stop`` is set, or when nothing is left to build."""

    def __init__(self, stop: threading.Event, builds: Callable[[], bool]) -> None:
        super().__init__()
        self._stop = stop
        self._builds = builds

    def is_set(self) -> bool:
        """Return True if ``stop`` is set, or if nothing is left to build."""
        return self._stop.is_set() or not self._builds()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until ``stop`` is set, for at most ``timeout`` seconds; return ``is_set()``."""
        self._stop.wait(timeout)
        return self.is_set()
