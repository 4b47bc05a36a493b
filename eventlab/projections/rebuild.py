"""A rebuild: a view built anew beside the live one, until it takes its place.

The swap has two steps, so that a crash anywhere leaves one whole view. First the live projectors are fenced off: they
cannot move their position, and wait; who has waited long enough breaks the fence, and the rebuild tries again. Then one
transaction, which the fence must have survived, decides the swap; from there on anyone finishes it (Follower._finish).
"""

from __future__ import annotations

import contextlib
import heapq
import re
import secrets
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Any, Final

from pymongo.errors import PyMongoError
from redis.exceptions import ResponseError

from eventlab.errors import RebuildOvertaken, Trimmed
from eventlab.events import Recorded
from eventlab.projections.follower import INTERRUPTED, MAJORITY, RETRYABLE, Follower
from eventlab.store.keys import START, order

PAGE: Final = 500


class Rebuild(Follower):
    """The follower whose documents nobody reads yet."""

    def __init__(self, live: Follower, **options: Any) -> None:
        super().__init__(live.store, live.mongo, live.view, **options)
        self.name = f"{live.name}.rebuild-{secrets.token_hex(4)}"
        self._live = live
        self._counted = 0
        self._bar: Any = None
        self._logs: Iterator[Recorded] = iter(())
        self._logs_at = ""

    def build(self, *, progress: bool) -> int:
        """Build and swap; Projector.rebuild says the rest."""
        from tqdm.auto import tqdm  # which looks for a notebook around it

        for left in self.mongo.list_collection_names(
            filter={"name": {"$regex": f"^{re.escape(self._live.name)}\\.rebuild-[0-9a-f]{{8}}$"}}
        ):
            self._live._session.end_others()  # a dead one's transaction would hold its state for a minute
            self._clear(left)  # of one that was killed, or that will see now that it is overtaken
        self._copy_indexes()  # the collection comes first and goes last: by it the rest is found after a crash
        try:
            if self.store.head() != START:
                self._show(START)  # from here on no trim passes us
            total = self.store.redis.xlen(self.store.keys.stream)
            with tqdm(
                total=total, desc=self._live.name, unit=" events", disable=not progress
            ) as self._bar:
                self.catch_up()
                while not self._swap():
                    pass
        finally:
            self._clear(self.name)
        return self._counted

    def run_once(self) -> int:
        """Apply the next batch, and move the bar."""
        more = super().run_once()
        self._counted += more
        if self._bar is not None:
            self._bar.update(more)
        return more

    def _swap(self) -> bool:
        live = self._live
        while not live._transact({"fence": {"$in": [None, self.name]}}, {"fence": self.name}, []):
            while (
                live._unfenced() is None
            ):  # nothing between: its patience is counted from look to look
                pass
        self.catch_up()
        if not self._decide():
            return False  # it took too long, and the live projectors went on
        live._finish(self.name, str(self.position))
        live.position = None
        return True

    def _decide(self) -> bool:
        session = self._session.get()
        swap, fenced = (
            {"$set": {"swap": self.position}},
            {"_id": self._live.name, "fence": self.name},
        )
        try:
            with session.start_transaction(write_concern=MAJORITY):
                # Who clears this rebuild away deletes its state first: so either he does, or the swap is decided.
                mine = self._states.delete_one({"_id": self.name}, session=session).deleted_count
                if not mine:
                    raise RebuildOvertaken(self._live.name)
                if not self._states.update_one(fenced, swap, session=session).matched_count:
                    session.abort_transaction()
                    return False
        except PyMongoError as error:
            if error.has_error_label(RETRYABLE[0]) or getattr(error, "code", None) == INTERRUPTED:
                return False
            raise
        return True

    def _clear(self, name: str) -> None:
        self._states.delete_one({"_id": name})
        state = self._live._state_now()
        if state.get("fence") == name and "swap" in state:
            self._live._finish(name, state["swap"])
        self._states.update_one({"_id": self._live.name, "fence": name}, {"$unset": {"fence": 1}})
        self.store.forget_group(name)
        self.mongo[name].drop()

    def _copy_indexes(self) -> None:
        self.mongo.create_collection(self.name)
        self._states.insert_one(
            {"_id": self.name, "position": START}
        )  # before the indexes: a clearing would lose them
        for name, index in self.mongo[self._live.name].index_information().items():
            if name != "_id_":
                options = {
                    option: value
                    for option, value in index.items()
                    if option not in ("key", "v", "ns")
                }
                self.mongo[self.name].create_index(index["key"], name=name, **options)

    def _state_now(self) -> dict[str, Any]:
        state = self._states.find_one({"_id": self.name})
        if state is None:
            raise RebuildOvertaken(self._live.name)
        return state

    def _show(self, position: str) -> None:
        if position == START:
            super()._show(position)
        else:
            with contextlib.suppress(
                ResponseError
            ):  # whoever clears this rebuild away takes the group, for good
                self.store.redis.xgroup_setid(self.store.category, self.name, position)

    def _read(self, position: str) -> list[Recorded]:
        if self._logs_at not in (
            "",
            position,
        ):  # a batch failed: what it took from the logs is needed again
            self._logs, self._logs_at = self._own_logs(position), position
        if events := self._next_of_logs(position):
            return events
        try:
            return super()._read(position)
        except Trimmed:
            self._logs, self._logs_at = self._own_logs(position), position
            if events := self._next_of_logs(position):
                return events
            raise

    def _next_of_logs(self, position: str) -> list[Recorded]:
        # Once begun, to their end: the stream may have holes behind its first entry, too.
        events = list(islice(self._logs, self._size)) if position == self._logs_at else []
        self._logs_at = events[-1].position if events else ""
        return events

    def _own_logs(self, after: str) -> Iterator[Recorded]:
        """Every event after a position from the own logs, in commit order, up to the newest at this moment."""
        head = order(
            self.store.head()
        )  # first: of what comes later some logs would show more than others
        logs = heapq.merge(
            *map(self._own_log, self.store.ids()), key=lambda event: order(event.position)
        )
        old = takewhile(lambda event: order(event.position) <= head, logs)
        return (event for event in old if order(event.position) > order(after))

    def _own_log(self, id: str) -> Iterator[Recorded]:
        version = 0
        while page := self.store.read(id, after=version, limit=PAGE):
            yield from page
            version = page[-1].version
