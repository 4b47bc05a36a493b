"""The category stream, which contains every event of a category, in commit order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.errors import Trimmed, TrimRefused
from eventlab.store.keys import START, Keys, checked_name, checked_position, order
from eventlab.store.paging import FIRST_PAGE, KEYS_PAGE, MAX_PAGE, largest_page, next_page
from eventlab.store.scripts import RAW, Script
from eventlab.store.slices import check_slices

MAX_WEIGHED: Final = 500_000  # entries, whose sizes Redis adds up in about a millisecond
IDENTIFYING_BYTES: Final = 256  # of an event: id, version, type, and the start of its data

Fields = dict[bytes, bytes]
Entry = tuple[bytes, Fields]


class CategoryStream:
    """Reads a Redis Stream by position, and never silently skips trimmed entries."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._key = keys.stream
        self._trim = Script("store/trim")

    def entries(
        self, *, after: str = START, limit: int | None = None, others: bool = True
    ) -> Iterator[Entry]:
        """Yield the entries after a position, oldest first.

        Raises Trimmed if some of these entries are gone. With ``others=False``, an entry that
        another program deleted does not count as gone.
        """
        checked_position(after)
        count = FIRST_PAGE
        weighed = most = 0
        page: list[Entry] = []
        while limit is None or limit > 0:
            if page:
                texts = chain.from_iterable([fields.values() for _, fields in page])
                size = self._redis.xlen(self._key)
                # Fewer new entries cannot make a page too large.
                if not weighed or abs(size - weighed) >= MAX_PAGE:
                    weighed = size
                    # Redis adds up the bytes of a long stream more slowly than it sends pages.
                    most = MAX_PAGE if size > MAX_WEIGHED else largest_page(self._redis, self._key)
                count = next_page(len(page), sum(map(len, texts)), most)
            want = count if limit is None else min(count, limit)
            page = self._redis.execute_command(
                "XRANGE", self._key, f"({after}", "+", "COUNT", want, **RAW
            )
            # Check after the read, because entries may have been trimmed in the meantime.
            self._check_not_trimmed(after, others)
            yield from page
            if len(page) < want:
                return
            after = page[-1][0].decode()
            limit = None if limit is None else limit - want

    def head(self) -> str:
        """Return the highest position of the stream so far, or ``0-0`` before the first event."""
        return str(self._info().get("last-generated-id", START))

    def lacks(self, position: str, begins: bytes = b"") -> bool:
        """Return True if the entry at a position is missing although it was not trimmed.

        If the first field of the entry at this position does not start with ``begins``, it is a
        different entry, so the expected entry is missing.
        """
        if position == START:
            return False
        found = self._redis.execute_command("XRANGE", self._key, position, position, **RAW)
        if found:
            return not next(iter(found[0][1].values())).startswith(begins)
        info = self._info()
        mark, by_others = self._mark(info)
        gone = _dropped(info) and order(position) <= order(_first(info) if by_others else mark)
        # One exception: the newest entry was deleted, and no entry has been added since.
        return not gone and position != info.get("last-generated-id")

    def trim(self, before: str) -> int:
        """Drop the entries before a position, and return their number.

        Raises TrimRefused if a group still needs one of them.
        """
        milliseconds, sequence = order(checked_position(before))
        # Send the position in full: a bare 5000 means 5000-0 to XTRIM, but as the end of a range,
        # it means the last position of that millisecond.
        reply = self._trim(
            self._redis,
            [self._key, self._keys.trimmed],
            # With a token, a call that is sent again after a lost reply does not report 0.
            [f"{milliseconds}-{sequence}", os.urandom(9).hex()],
        )
        match reply:
            case [b"unfinished", group, position]:
                raise TrimRefused(group.decode(), position.decode())
        return int(reply)

    def forget_group(self, name: str) -> bool:
        """Delete a group; return False if it does not exist."""
        checked_name(name, "group")
        # Deleting a group with many pending entries blocks Redis: acknowledge them first, in pages.
        pending = "XPENDING", self._key, name, "-", "+", KEYS_PAGE
        try:
            while page := self._redis.execute_command(*pending, parse_detail=True, **RAW):
                positions = [entry["message_id"] for entry in page]
                self._redis.execute_command("XACK", self._key, name, *positions)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return False
        return bool(self._redis.execute_command("XGROUP", "DESTROY", self._key, name))

    def trimmed_to(self) -> str:
        """Return the position of the newest trimmed entry, or ``0-0`` if nothing was trimmed."""
        return self._mark(self._info())[0]

    def accept_deletions(self) -> None:
        """Accept the deletions by other programs so far: ``entries`` no longer reports them."""
        self._redis.hset(self._keys.trimmed, "dropped", _dropped(self._info()))

    def _check_not_trimmed(self, after: str, others: bool) -> None:
        info = self._info()
        if not _dropped(info):
            return
        mark, by_others = self._mark(info)
        first = _first(info)
        if order(after) < order(mark) or (others and by_others and order(after) < order(first)):
            raise Trimmed(after, first)

    def _mark(self, info: dict[str, Any]) -> tuple[str, bool]:
        by_us, known = self._redis.execute_command(
            "HMGET", self._keys.trimmed, "position", "dropped", **RAW
        )
        return by_us.decode() if by_us else START, _dropped(info) != int(known or 0)

    def _info(self) -> dict[str, Any]:
        try:
            # Not "XINFO STREAM": redis-py parses that reply more slowly than Redis sends it.
            reply = self._redis.execute_command("XINFO", "STREAM", self._key, **RAW)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            check_slices(self._redis, self._keys)
            return {}
        if not isinstance(reply, dict):
            reply = dict(zip(reply[::2], reply[1::2], strict=True))
        return {as_text(name): as_text(value) for name, value in reply.items()}


def _dropped(info: dict[str, Any]) -> int:
    return int(info.get("entries-added", 0)) - int(info.get("length", 0))


def _first(info: dict[str, Any]) -> str:
    entry = info.get("first-entry")
    return str(as_text(entry[0]) if entry else info.get("last-generated-id", START))


def as_text(value: Any) -> Any:
    """Return bytes as text, and any other value unchanged."""
    return value.decode() if isinstance(value, bytes) else value
