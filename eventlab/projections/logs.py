"""Merges the aggregate logs of a category into commit order, using limited memory.

Only the next position of each log is kept in memory. Each round reads the logs with the earliest
next positions. Rows that are read too early are read again later.
"""

from __future__ import annotations

import heapq
import itertools
from array import array
from collections.abc import Iterator
from typing import Final

from eventlab.events import Recorded, decode_rows
from eventlab.store.keys import order
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore

MAX_LOGS: Final = 200  # read in one round trip
MAX_ROWS: Final = 1_000  # of one log in one round trip
MAX_REPLY_BYTES: Final = 1_000_000  # of one round trip, if rows are as large as the previous ones
FIRST_ROW_BYTES: Final = 10_000  # an assumption for the first reply

Place = tuple[int, int, int]  # milliseconds and sequence of a position, and the index of a log
LAST: Final[Place] = (2**64, 0, 0)


def events_of_logs(store: EventStore, *, after: str) -> Iterator[tuple[Recorded, int]]:
    """Yield each event after a position from all aggregate logs, in commit order, with its size.

    The last event is the one that was newest when the iteration began.
    """
    for id, version, row in rows_of_logs(store, after=after):
        [read] = decode_rows([row], f"{id!r} version {version}")
        event = Recorded(id, version, read.type, read.data, read.position, read.meta)
        yield store.upcast(event), len(row)


def rows_of_logs(store: EventStore, *, after: str) -> Iterator[tuple[str, int, bytes]]:
    """Yield the id, version and stored row of each event after a position, in commit order."""
    # The head is read first, because only some of the events appended later would be found.
    head = order(store.head())
    for id, version, row in _merged(store, store.ids()):
        position = order(position_of(row))
        if position > head:
            return
        if position > order(after):
            yield id, version, row


def position_of(row: bytes) -> str:
    """Return the position at the beginning of a row."""
    return row[2 : row.index(b'"', 2)].decode()


def _merged(store: EventStore, ids: list[str]) -> Iterator[tuple[str, int, bytes]]:
    """Yield the rows of the logs in commit order, each with its id and version."""
    versions = array("Q", bytes(8 * len(ids)))  # of the last row that was yielded, for each log
    # A heap of the next row of each log. A row that has not been read comes before all others.
    heads: list[Place] = [(0, 0, log) for log in range(len(ids))]
    row_bytes = FIRST_ROW_BYTES
    while heads:
        most = max(1, min(MAX_LOGS, MAX_REPLY_BYTES // row_bytes // 2))
        read: dict[int, list[bytes]] = {
            heapq.heappop(heads)[-1]: [] for _ in range(min(most, len(heads)))
        }
        # Rows before `bound`, the earliest next row of the other logs, can be yielded in order. One
        # more row of each log is read, because the position of its next row goes into the heap.
        bound = heads[0] if heads else LAST
        unread = list(read)
        count = 2
        size = 0
        while unread and size < MAX_REPLY_BYTES:
            with store.redis.pipeline(transaction=False) as pipeline:
                for log in unread:
                    begin = versions[log] + len(read[log])
                    key = store.keys.log(ids[log])
                    pipeline.execute_command("LRANGE", key, begin, begin + count - 1, **RAW)
                pages: list[list[bytes]] = pipeline.execute()
            for log, page in zip(unread, pages, strict=True):
                read[log] += page
            row_bytes = max(map(len, itertools.chain(*pages)), default=row_bytes)
            size += sum(map(len, itertools.chain(*pages)))
            more = zip(unread, pages, strict=True)
            unread = [
                log for log, page in more if len(page) == count and _place(page[-1], log) < bound
            ]
            fit = MAX_REPLY_BYTES // row_bytes // max(1, len(unread))
            count = max(1, min(2 * count, MAX_ROWS, fit))
        bound = min([bound, *(_place(read[log][-1], log) for log in unread)])
        ready: list[tuple[Place, bytes]] = []
        for log, rows in read.items():
            for row in rows:
                place = _place(row, log)
                if place >= bound:
                    heapq.heappush(heads, place)
                    break
                ready.append((place, row))
        for (_, _, log), row in sorted(ready):
            versions[log] += 1
            yield ids[log], versions[log], row


def _place(row: bytes, log: int) -> Place:
    return (*order(position_of(row)), log)
