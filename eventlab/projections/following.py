"""The loop that runs a projector, waits during outages, and logs changes of state."""

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
    """The base class of ``Follower``, for one stream, and ``Several``, for several streams."""

    def __init__(self, name: str, session: ProjectorSession) -> None:
        self.name = name
        self._session = session
        self._logged_state = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_once(self) -> int:
        """Apply the next batch and return how many events were applied (0 if none are new)."""
        raise NotImplementedError

    def catch_up(self) -> int:
        """Apply all events that exist at the time of the call; return how many were applied."""
        heads = [(each, order(each.store.head())) for each in self._followers()]
        counted = 0
        if any(each.position is not None and head < order(each.position) for each, head in heads):
            return self.run_once()  # raises ViewAhead if the newest events were lost
        while any(each.position is None or order(each.position) < head for each, head in heads):
            more = self.run_once()
            if not more and all(each.has_read_all() for each, _ in heads):
                break  # the newest event was deleted
            counted += more
        return counted

    def run(self, stop: threading.Event, *, poll_interval: float = 0.5) -> None:
        """Follow the category until ``stop`` is set, then finish the current batch.

        New events are applied immediately, and ``stop`` is checked every ``poll_interval`` seconds.
        If several projectors run, only one is active, and the others check every ``poll_interval``
        seconds whether they can take over. While a server is down, failing over or full, the
        projector waits. Changes of state are logged. Raises the errors of ``run_once`` and
        Misconfigured.
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
        """End the MongoDB session. If the object is used again, it starts a new session."""
        self._session.close()

    def _followers(self) -> Sequence[Follower]:
        """Return the ``Follower`` objects, one for each stream."""
        raise NotImplementedError

    def _current(self) -> Following:
        """Return the object to advance: this one, or an upgrade that must be built first."""
        return self

    def _active_state(self) -> str:
        """Return the state to log while this object applies events."""
        return "active"

    def _is_active(self) -> bool:
        """Return whether this object is active (no other projector has moved a position)."""
        return all(each.position is not None for each in self._followers())

    def _forget_position(self) -> None:
        """Forget the position, so that it is read again before the next batch."""
        for each in self._followers():
            each.position = None

    def _wait(self, seconds: float) -> None:
        """Wait for new events for up to ``seconds``."""
        streams = defaultdict[Any, dict[bytes, str]](dict)  # by client; there is usually one
        for each in self._followers():
            streams[each.store.redis][each.store.keys.stream] = each.position or START
        for client, positions in streams.items():
            if wait_for_any(client, positions, seconds / len(streams)):
                return

    def _stand_by(self, stop: threading.Event, poll_interval: float) -> None:
        """Wait until there are new events and no other projector moves the position."""
        seen = None
        while not stop.wait(poll_interval):
            positions = self._stored_positions()
            if positions == seen and self._lags(positions):
                return
            seen = positions

    def _stored_positions(self) -> list[str]:
        """Return the stored position in each stream."""
        return [each._checkpoint.read().position for each in self._followers()]

    def _lags(self, positions: list[str]) -> bool:
        """Return whether any stream has events after these positions."""
        pairs = zip(self._followers(), positions, strict=True)
        return any(order(at or START) < order(each.store.head()) for each, at in pairs)

    def _log_state(self, state: str, why: str = "") -> None:
        if state != self._logged_state:
            log.info("view %s: %s%s", self.name, state, why)
            self._logged_state = state
