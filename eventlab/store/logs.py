"""The aggregate logs, which contain the events of each aggregate, by version."""

from __future__ import annotations

import os
from binascii import b2a_base64
from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec

from eventlab.errors import LogMissing, NotAdopted
from eventlab.events import Recorded, Row, decode_rows
from eventlab.store.keys import Keys
from eventlab.store.paging import FIRST_PAGE, largest_page, next_page
from eventlab.store.scripts import RAW
from eventlab.store.slices import check_slices


class Tail(msgspec.Struct, frozen=True):
    """Consecutive events of an aggregate, each with the token of the append that wrote it.

    A log that was dropped and written again may have the same positions, but not the same tokens.
    The token of an adopted event is ``""``.
    """

    events: list[Recorded]
    tokens: list[str]


class AggregateLogs:
    """Reads aggregate logs by version, and raises LogMissing if Redis has lost a log."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def rows(self, id: str, after: int, limit: int | None) -> list[Row]:
        """Return the rows of one aggregate after a version, at most ``limit`` of them."""
        return list(chain.from_iterable(self.pages(id, after, limit)))

    def pages(self, id: str, after: int, limit: int | None) -> Iterator[list[Row]]:
        """Yield the rows that ``rows`` returns, in pages of limited length and size."""
        log = self._keys.log(id)
        begin = after
        count = FIRST_PAGE
        weight = 0
        while limit is None or begin < after + limit:
            if begin > after:
                # Measure again for each page, because the log may have grown.
                count = next_page(count, weight, largest_page(self._redis, log))
            want = count if limit is None else min(count, after + limit - begin)
            elements = self._redis.execute_command("LRANGE", log, begin, begin + want - 1, **RAW)
            if elements:
                yield decode_rows(elements, f"{id!r} after version {begin}")
            begin += len(elements)
            if len(elements) < want:
                break
            weight = sum(map(len, elements))
        if begin == after and limit != 0:
            self._check_exists(id)

    def version(self, id: str) -> int:
        """Return the number of events of an aggregate."""
        version = int(self._redis.execute_command("LLEN", self._keys.log(id)))
        if version == 0:
            self._check_exists(id)
        return version

    def check_adopted(self) -> None:
        """Raise NotAdopted if another program wrote the stream, and nobody has adopted it yet.

        Raises SlicesMismatch if the category was created with a different number of slices.
        """
        # The order matters: an append between the two commands also writes the ids.
        if not self._redis.xlen(self._keys.stream):
            check_slices(self._redis, self._keys)
        elif not self._redis.exists(self._keys.ids):
            raise NotAdopted(self._keys.category)

    def _check_exists(self, id: str) -> None:
        self.check_adopted()
        known = self._redis.sismember(self._keys.ids, id.encode())
        # The order matters: an append between the two commands also writes the log.
        if known and not self._redis.exists(self._keys.log(id)):
            raise LogMissing(id)


def new_token() -> str:
    """Return a random token for one append."""
    return b2a_base64(os.urandom(9), newline=False).decode()
