"""A projection: the Projector that keeps a view in MongoDB up to date.

Documents and position are written in one transaction (Follower): whatever is killed, repeated or run twice at once,
each event counts exactly once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from eventlab.errors import InvalidName, VersionConflict, ViewLate
from eventlab.projections.follower import RETRY_SECONDS, Follower
from eventlab.projections.rebuild import Rebuild
from eventlab.projections.view import Changes
from eventlab.store.keys import checked_position, order
from eventlab.store.scripts import RAW
from eventlab.store.stream import CategoryStream

COUNTED: Final = 10_000  # events up to which a lag is counted


@dataclass(frozen=True)
class ViewLag:
    """What a view does not hold yet: how many events, and for how many seconds the oldest of them has been waiting.

    It is exact up to 10,000 events; beyond, all that is known is that they are no more than ``events``.
    """

    position: str
    events: int
    seconds: float
    exact: bool


class Projector(Follower):
    """Feeds one view from one category. Several may run, in threads, processes or on machines: the result is the same.

    ``batch_size`` is how many events go into a transaction at most; where that takes too long, fewer.

    >>> projector = Projector(store, lab.mongo, AccountView())
    >>> projector.run_once()
    3
    """

    def lag(self) -> ViewLag:
        """How far the view is behind the category.

        >>> projector.lag()
        ViewLag(position='1551312847014-0', events=0, seconds=0.0, exact=True)
        """
        redis, stream = self.store.redis, self.store.keys.stream
        position = str(self._state_now()["position"])
        news = redis.execute_command("XRANGE", stream, f"({position}", "+", "COUNT", COUNTED, **RAW)
        waiting = redis.time()[0] - order(news[0][0].decode())[0] / 1000 if news else 0.0
        events = len(news) if len(news) < COUNTED else redis.xlen(stream)
        return ViewLag(position, events, max(0.0, waiting), exact=len(news) < COUNTED)

    def wait_until(self, id: str, version: int, *, seconds: float = 10.0) -> None:
        """Wait until the view holds an aggregate's version, so that a writer can read what he wrote.

        Raises VersionConflict if the aggregate has no such version, ViewLate when the time is over.

        >>> projector.wait_until("JohnDoe", 3)
        """
        found = self.store.read(id, after=version - 1, limit=1)
        if not found:
            raise VersionConflict(id, version, self.store.version(id))
        end, pause = time.monotonic() + seconds, 0.001
        while order(str(self._state_now()["position"])) < order(found[0].position):
            if time.monotonic() > end:
                raise ViewLate(self.name, id, version)
            time.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS)

    def skip(self, position: str) -> None:
        """Pass over the event in front of which the view has stopped; it will never count.

        Raises InvalidName, naming the next event, if that is not the one at ``position``.

        >>> projector.skip("1551312847014-0")
        """
        while True:
            now = str(self._state_now()["position"])
            entries = CategoryStream(self.store.redis, self.store.keys).entries(after=now, limit=1)
            following = next((at.decode() for at, _ in entries), "no event")
            if following != checked_position(position):
                raise InvalidName(
                    f"view {self.name!r} stands in front of {following}, not of {position}"
                )
            if self._write(Changes(), now, position):
                return
            while self._unfenced() is None:  # a rebuild stands before its swap
                pass

    def rebuild(self, *, progress: bool = True) -> int:
        """Build the view anew beside the live one, then let it take its place; returns how many events it counted.

        Who reads sees the old documents, then the new ones, and never a hole; a cursor that is open at that moment ends
        with an error (pymongo's OperationFailure): open it again. Projectors may run, and go on. Complete after a trim,
        too, from the own logs. ``progress`` shows a bar. Raises ViewStopped, and the live view stays as it was;
        RebuildOvertaken if another rebuild began later; Trimmed.

        >>> projector.rebuild()
        3
        """
        with Rebuild(self, batch_size=self._batch_size) as rebuild:
            return rebuild.build(progress=progress)

    def reset(self) -> None:
        """Begin anew: forget the position and the documents. No projector of this view may run meanwhile."""
        self._session.end_others()  # a dead one's transaction would hold its state for a minute
        self._states.delete_one({"_id": self.name})
        self.mongo[self.name].delete_many({})
        self.store.forget_group(self.name)
        self.position = None
