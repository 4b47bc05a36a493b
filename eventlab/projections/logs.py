"""The aggregate logs of a category, merged into commit order, in bounded memory.

The next position of every log is known; of the rows themselves only those that are due soon, or
that fit into MAX_HELD_BYTES, are held.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Final

from eventlab.events import Recorded, decode_rows
from eventlab.store.keys import order
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore

MAX_HELD_BYTES: Final = 16_000_000  # of rows that were fetched and not returned yet
MAX_REPLY_BYTES: Final = 1_000_000  # of one round trip, by the size of the rows before
MAX_LOGS: Final = 200  # that are read in one round trip
MAX_ROWS: Final = 1_000  # of one log that are read in one round trip
ROW_OVERHEAD: Final = 150  # bytes of Python's objects for a row


class LogMerge:
    """An iterator over the events of all aggregate logs in commit order, each with its size."""

    def __init__(self, store: EventStore) -> None:
        self.held_bytes = 0
        self._store = store
        self._ids = store.ids()
        self._versions = array("Q", bytes(8 * len(self._ids)))  # how many rows were returned
        self._rows: dict[int, list[bytes]] = {}  # by log, the next one last
        self._ended = bytearray(len(self._ids))  # 1: its last row was fetched
        self._row_bytes = 10_000.0  # a guess, before the first reply
        self._heads = list(self._first_heads())  # of each log the position of the next row
        heapq.heapify(self._heads)

    def __iter__(self) -> Iterator[tuple[Recorded, int]]:
        while self._heads:
            *_, log = self._heads[0]
            if self._is_short(log):
                self._fetch_ahead()
            rows = self._rows.get(log)
            if not rows:  # the log was dropped in the meantime
                heapq.heappop(self._heads)
                continue
            row = rows.pop()
            self.held_bytes -= len(row) + ROW_OVERHEAD
            self._versions[log] += 1
            if rows:
                heapq.heapreplace(self._heads, self._head(log))
            else:
                heapq.heappop(self._heads)
            if not rows or self.held_bytes > MAX_HELD_BYTES:
                self._drop(log)
            yield self._recorded(log, row), len(row)

    def _first_heads(self) -> Iterator[tuple[int, int, int]]:
        begin = 0
        while begin < len(self._ids):
            logs = range(begin, min(len(self._ids), begin + self._logs_at_once()))
            self._fetch(logs, 1)
            for log in logs:
                if log in self._rows:
                    yield self._head(log)
                    if self.held_bytes > MAX_HELD_BYTES:
                        self._drop(log)
            begin = logs.stop

    def _head(self, log: int) -> tuple[int, int, int]:
        row = self._rows[log][-1]
        milliseconds, sequence = order(row[2 : row.index(b'"', 2)].decode())
        return milliseconds, sequence, log

    def _is_short(self, log: int) -> bool:
        # Of a log that goes on two rows are needed: one to return, and the position of the next.
        rows = self._rows.get(log, ())
        return len(rows) < 2 and not (rows and self._ended[log])

    def _fetch_ahead(self) -> None:
        """Fetch rows of the logs whose turn is next, in one round trip."""
        count = min(self._logs_at_once(), len(self._heads))
        ahead = [heapq.heappop(self._heads) for _ in range(count)]
        logs = [log for *_, log in ahead if self._is_short(log)]
        fair = MAX_HELD_BYTES / len(self._ids) / (self._row_bytes + ROW_OVERHEAD)
        reply = MAX_REPLY_BYTES / len(logs) / self._row_bytes
        self._fetch(logs, max(2, int(min(fair, reply, MAX_ROWS))))
        for head in ahead:
            heapq.heappush(self._heads, head)

    def _logs_at_once(self) -> int:
        return max(1, min(MAX_LOGS, int(MAX_REPLY_BYTES / self._row_bytes / 2)))

    def _fetch(self, logs: Iterable[int], count: int) -> None:
        with self._store.redis.pipeline(transaction=False) as pipeline:
            for log in logs:
                begin = self._versions[log] + len(self._rows.get(log, ()))
                key = self._store.keys.log(self._ids[log])
                pipeline.execute_command("LRANGE", key, begin, begin + count - 1, **RAW)
            replies: list[list[bytes]] = pipeline.execute()
        sizes = [len(row) for reply in replies for row in reply]
        self.held_bytes += sum(sizes) + ROW_OVERHEAD * len(sizes)
        self._row_bytes = max(1.0, sum(sizes) / len(sizes)) if sizes else self._row_bytes
        for log, reply in zip(logs, replies, strict=True):
            self._ended[log] = len(reply) < count
            if reply:
                self._rows[log] = reply[::-1] + self._rows.get(log, [])

    def _drop(self, log: int) -> None:
        rows: list[Any] = self._rows.pop(log)
        self.held_bytes -= sum(map(len, rows)) + ROW_OVERHEAD * len(rows)

    def _recorded(self, log: int, row: bytes) -> Recorded:
        id = self._ids[log]
        version = self._versions[log]
        [read] = decode_rows([row], f"{id!r} version {version}")
        event = Recorded(id, version, read.type, read.data, read.position, read.meta)
        return self._store.upcast(event)


def events_of_logs(store: EventStore, *, after: str) -> Iterator[tuple[Recorded, int]]:
    """Yield the events after a position from all aggregate logs, in commit order, with their size.

    It ends at the event that is the newest when it is called.
    """
    # The head is read first: of later events, some logs would show more than others.
    head = order(store.head())
    for event, size in LogMerge(store):
        position = order(event.position)
        if position > head:
            return
        if position > order(after):
            yield event, size
