"""Shares one MongoDB session among a projector's slices, and the slices among projectors."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

from pymongo.client_session import ClientSession

from eventlab.projections.session import ProjectorSession
from eventlab.projections.view import PROJECTORS
from eventlab.store.answers import SERVER_ERRORS, is_outage

ALIVE_SECONDS: Final = 3.0  # for this long after its last heartbeat, a projector counts as running


class SharedSession(ProjectorSession):
    """The session of a projector, as one slice uses it; each slice has its own obstacle."""

    def __init__(self, shared: ProjectorSession, turn: threading.RLock) -> None:
        super().__init__(shared.mongo, shared.view)
        self._shared = shared
        self._turn = turn

    def get(self) -> ClientSession:
        """Return the session of the projector."""
        with self._turn:
            return self._shared.get()

    def transact(self, work: Callable[[ClientSession], bool], *, obstacle: object) -> bool | None:
        """Wait until no other slice uses the session, then run ``work`` in one transaction."""
        with self._turn:
            return super().transact(work, obstacle=obstacle)

    def end_others(self) -> None:
        """End the sessions of all other projectors of the view."""
        with self._turn:
            self._shared.end_others()

    def close(self) -> None:
        """Leave the session open, because it belongs to the projector."""


class Shares:
    """Determines which slices a projector follows: every n-th slice if n projectors are running.

    Each projector stores its heartbeats in the collection of projectors, with the time of MongoDB's
    clock. Two projectors that briefly disagree may slow each other down, but each event is still
    applied exactly once, because of the checkpoints.
    """

    def __init__(self, session: ProjectorSession, turn: threading.RLock) -> None:
        self._session = session
        self._turn = turn
        self._projectors = session.mongo[PROJECTORS]
        self._first = 0
        self._step = 1

    def has(self, number: int) -> bool:
        """Return whether this projector should follow the slice."""
        return number % self._step == self._first

    def beat(self) -> None:
        """Store a heartbeat, and check which other projectors are running."""
        me = self._id()
        now = {"$set": {"view": self._session.view, "seen": "$$NOW"}}
        self._projectors.update_one({"_id": me}, [now], upsert=True)
        since = {"$subtract": ["$$NOW", int(ALIVE_SECONDS * 1000)]}
        alive = {"view": self._session.view, "$expr": {"$gt": ["$seen", since]}}
        running = [other["_id"] for other in self._projectors.find(alive, {"_id": 1}).sort("_id")]
        if me in running:
            self._first, self._step = running.index(me), len(running)

    def leave(self) -> None:
        """Leave the slices to the other projectors."""
        self._first, self._step = 0, 1
        self._projectors.update_one({"_id": self._id()}, {"$unset": {"seen": 1}})

    def _id(self) -> object:
        with self._turn:
            return self._session.get().session_id["id"]


@contextlib.contextmanager
def outages_ignored() -> Iterator[None]:
    """Ignore the errors of a server that is down; the code that waits for the server logs them."""
    try:
        yield
    except SERVER_ERRORS as error:
        if not is_outage(error):
            raise
