"""The loop of a follower: it runs until it is stopped, waits during outages, and logs its state."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from eventlab.projections.session import ProjectorSession
from eventlab.store.answers import SERVER_ERRORS, is_outage, misconfiguration, reason, server
from eventlab.store.keys import START, order
from eventlab.store.waiting import wait_for_any

if TYPE_CHECKING:
    from eventlab.projections.follower import Follower


log = logging.getLogger(__name__)


class Following:
    """What a follower of one stream and the followers of several have in common."""

    def __init__(self, name: str, session: ProjectorSession) -> None:
        self.name = name
        self._session = session
        self._logged_state = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_once(self) -> int:
        """Apply the next batch; return how many of its events were applied, 0 if nothing is new."""
        raise NotImplementedError

    def catch_up(self) -> int:
        """Apply all events that exist when it is called, and return how many were applied."""
        heads = [(each, order(each.store.head())) for each in self._followers()]
        counted = 0
        if any(each.position is not None and head < order(each.position) for each, head in heads):
            return self.run_once()  # raises ViewAhead if the newest events were lost
        while any(each.position is None or order(each.position) < head for each, head in heads):
            more = self.run_once()
            if not more and all(each.has_read_all() for each, _ in heads):
                break  # somebody deleted the newest event
            counted += more
        return counted

    def run(self, stop: threading.Event, *, poll_interval: float = 0.5) -> None:
        """Follow the category until ``stop`` is set; a batch that has begun is finished.

        New events are applied immediately; ``stop`` is checked every ``poll_interval`` seconds. Of
        several projectors one is active, and the others check every ``poll_interval`` seconds that
        it still is. While a server is down, fails over or is full, it waits. Changes of state are
        logged. Raises the errors of ``run_once``, and Misconfigured.
        """
        while not stop.is_set():
            try:
                counted = self.run_once()
                current = self._current()
                if current._is_active():
                    self._log_state(self._active_state())
                    if not counted:
                        current._wait(poll_interval)
                elif not current._session.is_blocked:
                    self._log_state("standby")
                    current._stand_by(stop, poll_interval)
            except SERVER_ERRORS as error:
                if not is_outage(error):
                    raise misconfiguration(error) or error from error
                self._log_state("waiting", f": {server(error)} is unavailable ({reason(error)})")
                self._current()._forget_position()
                self._forget_position()
                stop.wait(poll_interval)

    def close(self) -> None:
        """End the MongoDB session. The follower can be used again; it then starts a new one."""
        self._session.close()

    def _followers(self) -> Sequence[Follower]:
        """Return the followers, one for each stream."""
        raise NotImplementedError

    def _current(self) -> Following:
        """Return what ``run`` advances: this object, or the upgrade that must be built first."""
        return self

    def _active_state(self) -> str:
        """Return what the log says while this object applies events."""
        return "active"

    def _is_active(self) -> bool:
        """Return whether every position is known, because no other projector has moved one."""
        return all(each.position is not None for each in self._followers())

    def _forget_position(self) -> None:
        """Read the position again before the next batch."""
        for each in self._followers():
            each.position = None

    def _wait(self, seconds: float) -> None:
        """Wait for new events."""
        streams = defaultdict[Any, dict[bytes, str]](dict)  # by client; usually there is one
        for each in self._followers():
            streams[each.store.redis][each.store.keys.stream] = each.position or START
        for client, positions in streams.items():
            if wait_for_any(client, positions, seconds / len(streams)):
                return

    def _stand_by(self, stop: threading.Event, poll_interval: float) -> None:
        """Wait until there are new events, but no other projector moves the position."""
        seen = None
        while not stop.wait(poll_interval):
            positions = self._stored_positions()
            if positions == seen and self._lags(positions):
                return
            seen = positions

    def _stored_positions(self) -> list[str]:
        """Return the position in each stream, as the checkpoint has it."""
        return [each._checkpoint.read().position for each in self._followers()]

    def _lags(self, positions: list[str]) -> bool:
        """Return whether there are events after these positions."""
        pairs = zip(self._followers(), positions, strict=True)
        return any(order(at or START) < order(each.store.head()) for each, at in pairs)

    def _log_state(self, state: str, why: str = "") -> None:
        if state != self._logged_state:
            log.info("view %s: %s%s", self.name, state, why)
            self._logged_state = state
