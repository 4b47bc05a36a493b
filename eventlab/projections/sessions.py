"""The MongoDB session of a projector, by its id known to the others, who end it if it has died in a transaction.

A projector killed inside a transaction leaves it open on the server for up to a minute, in the way of all others.
"""

from __future__ import annotations

from typing import Any, Final

from pymongo.client_session import ClientSession
from pymongo.database import Database

# One document per projector at work; not in the position's: a dead transaction holds that.
PROJECTORS: Final = "projectors"


class ProjectorSession:
    """One session for all transactions of a projector of the view ``view``; begun when it is first needed."""

    def __init__(self, mongo: Database[dict[str, Any]], view: str) -> None:
        self._mongo, self._view = mongo, view
        self._projectors = mongo.get_collection(PROJECTORS)
        self._session: ClientSession | None = None

    def get(self) -> ClientSession:
        """The session; it stays known until ``close``, for nobody can tell a dead projector from one that waits."""
        if self._session is None:
            self._session = self._mongo.client.start_session()
            self._projectors.replace_one({"_id": self._id()}, {"view": self._view}, upsert=True)
        return self._session

    def end_others(self) -> None:
        """End the sessions of all other projectors of the view, with their open transactions."""
        others = self._projectors.find({"view": self._view, "_id": {"$ne": self._id()}})
        if ids := [{"id": other["_id"]} for other in others]:
            self._mongo.client.admin.command("killSessions", ids)

    def close(self) -> None:
        """Leave in good order."""
        if self._session is not None:
            self._projectors.delete_one({"_id": self._id()})
            self._session.end_session()
            self._session = None

    def _id(self) -> Any:
        return self.get().session_id["id"]
