"""Runs the transactions of a projector, and ends the MongoDB sessions that block them.

If a projector is killed inside a transaction, the transaction stays open on the server for up to a
minute and blocks all other projectors. So every session is registered by its ID, and a projector
that is blocked for too long ends the sessions of the others. The register is not part of the
checkpoint, because a dead projector's transaction locks the checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final

import pymongo
from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, InvalidOperation, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from eventlab.errors import NoReplicaSet
from eventlab.projections.view import PROJECTORS
from eventlab.servers.connections import drop_connections
from eventlab.store.answers import reason

MAJORITY: Final = WriteConcern("majority")
STUCK_SECONDS: Final = 0.6  # a transaction that conflicts for this long is blocked by a dead one
RETRY_SECONDS: Final = 0.05  # the longest pause before a retry
CLOSE_SECONDS: Final = 5.0  # the longest wait for MongoDB in `close`

# MongoDB's error codes and labels
NO_TRANSACTIONS: Final = 20
INTERRUPTED: Final = 11601
TRANSIENT: Final = "TransientTransactionError"
UNKNOWN_COMMIT: Final = "UnknownTransactionCommitResult"
#: After a commit: MaxTimeMSExpired, WriteConcernTimeout and INTERRUPTED. It may have succeeded.
UNCLEAR: Final = frozenset({50, 64, INTERRUPTED})
#: killSessions is not allowed (13), unknown (59, 115), or not supported (8000, Atlas).
NO_KILL: Final = frozenset({13, 59, 115, 8000})

log = logging.getLogger(__name__)


def bookkeeping(mongo: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """Return the database with the options that a projector needs, whatever the URL says.

    Without these options, a secondary that lags could return an old position.
    """
    return mongo.with_options(
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=MAJORITY,
    )


class ProjectorSession:
    """The MongoDB session for all transactions of one projector of ``view``.

    The session starts when it is first used.
    """

    def __init__(self, mongo: Database[dict[str, Any]], view: str) -> None:
        self.mongo = mongo
        self.view = view
        self._projectors = mongo.get_collection(PROJECTORS)
        self._session: ClientSession | None = None
        self._obstacle: tuple[object, float] | None = None  # what blocks it, and since when
        self._may_end_others = True  # until MongoDB rejects killSessions

    @property
    def is_blocked(self) -> bool:
        """Whether the last attempt was blocked, by a conflict or a fence."""
        return self._obstacle is not None

    def unblock(self) -> None:
        """Make ``is_blocked`` False: the next attempt is not a retry."""
        self._obstacle = None

    def get(self) -> ClientSession:
        """Return the session, and start it on the first call.

        The session stays registered until ``close``, because other projectors cannot tell whether
        this projector is dead or waiting.
        """
        if self._session is None:
            session = self.mongo.client.start_session()
            id = session.session_id["id"]
            self._projectors.replace_one({"_id": id}, {"view": self.view}, upsert=True)
            self._session = session
        return self._session

    def transact(self, work: Callable[[ClientSession], bool], *, obstacle: object) -> bool | None:
        """Run ``work`` in one transaction and return the result, or None after a conflict.

        After a conflict with another transaction, this method pauses, then returns None. If calls
        with the same ``obstacle`` have conflicted for too long, the method also ends the sessions
        of the other projectors. Raises NoReplicaSet if MongoDB does not support transactions, and
        pymongo's errors if MongoDB is down.
        """
        session = self.get()
        try:
            with session.start_transaction(write_concern=MAJORITY):
                result = work(session)
        except pymongo.errors.ConfigurationError as error:
            raise drop_connections(self.mongo.client, error) from error
        except PyMongoError as error:
            code = getattr(error, "code", None)
            if code == NO_TRANSACTIONS:
                raise NoReplicaSet from error
            labels = map(error.has_error_label, (TRANSIENT, UNKNOWN_COMMIT))
            if isinstance(error, ConnectionFailure) or not (code == INTERRUPTED or any(labels)):
                raise
            # The time is random; otherwise, two slow projectors would end each other's sessions.
            if self.is_stuck(obstacle, STUCK_SECONDS * random.uniform(1, 3)):
                self.end_others()
            time.sleep(random.uniform(0, RETRY_SECONDS))
            return None
        self._obstacle = None
        return result

    def commit_again(self) -> bool:
        """Repeat the last commit, and return whether the transaction is committed.

        Has no effect if MongoDB has committed it before. Raises pymongo's errors if MongoDB is
        down.
        """
        try:
            self.get().commit_transaction()
        except PyMongoError as error:
            if isinstance(error, InvalidOperation) or error.has_error_label(TRANSIENT):
                return False  # aborted by pymongo or by MongoDB
            if getattr(error, "code", None) not in UNCLEAR:
                raise
            time.sleep(RETRY_SECONDS)
            return self.commit_again()
        return True

    def is_stuck(self, obstacle: object, seconds: float) -> bool:
        """Return whether the same ``obstacle`` has blocked the session for ``seconds``.

        ``obstacle`` identifies what blocks the session, such as a fence. When the method returns
        True, it also forgets the obstacle, so the next call restarts the timer.
        """
        now = time.monotonic()
        if self._obstacle is None or self._obstacle[0] != obstacle:
            self._obstacle = (obstacle, now)
        elif now - self._obstacle[1] >= seconds:
            self._obstacle = None
            return True
        return False

    def end_others(self) -> None:
        """End the sessions of all other projectors of the view, including their open transactions.

        MongoDB ends only the sessions of the same MongoDB user. If MongoDB rejects the command, a
        warning is logged once.
        """
        mine = self.get().session_id["id"]
        others = self._projectors.find({"view": self.view, "_id": {"$ne": mine}})
        ids = [{"id": other["_id"]} for other in others]
        if not ids or not self._may_end_others:
            return
        log.info("view %s: ending the MongoDB sessions of its other projectors", self.view)
        try:
            self.mongo.client.admin.command("killSessions", ids)
        except OperationFailure as error:
            if error.code not in NO_KILL:
                raise
            self._may_end_others = False
            text = "view %s: killSessions failed (%s), so a dead projector may block it for 60 s"
            log.warning(text, self.view, reason(error))

    def abandon(self) -> None:
        """Forget a session whose transaction another thread has not ended; start a new one later.

        The old session stays registered, so that other projectors can end its transaction.
        """
        if self._session is not None and self._session.in_transaction:
            self._session = None

    def close(self) -> None:
        """End the session and remove it from the register."""
        if self._session is not None:
            # If MongoDB is down, the entry remains, which is harmless.
            with contextlib.suppress(PyMongoError), pymongo.timeout(CLOSE_SECONDS):
                self._projectors.delete_one({"_id": self._session.session_id["id"]})
            self._session.end_session()
            self._session = None
