"""The category stream: every event of a category, in commit order, as entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.errors import Trimmed, TrimRefused
from eventlab.store.keys import START, Keys, checked_name, checked_position, order
from eventlab.store.scripts import RAW, Script

PAGE: Final = 1_000

Entry = tuple[bytes, dict[bytes, bytes]]


class CategoryStream:
    """A Redis Stream, read by position; it never silently skips what was trimmed."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._key = keys.stream
        self._trim = Script("store/trim")

    def entries(
        self, *, after: str = START, limit: int | None = None, others: bool = True
    ) -> Iterator[Entry]:
        """Yield the entries after a position, oldest first; raises Trimmed if some are gone.

        Without ``others``, entries that others deleted are not counted as gone.
        """
        checked_position(after)
        left = limit
        while left is None or left > 0:
            count = PAGE if left is None else min(PAGE, left)
            page = self._redis.execute_command(
                "XRANGE", self._key, f"({after}", "+", "COUNT", count, **RAW
            )
            # After the read: an entry that was there may be gone by now, but not the reverse.
            self._check_not_trimmed(after, others)
            yield from page
            if len(page) < count:
                return
            after = page[-1][0].decode()
            left = None if left is None else left - len(page)

    def wait(self, *, after: str, seconds: float) -> None:
        """Return as soon as there is an entry after a position, at the latest after ``seconds``."""
        ms = max(1, int(seconds * 1000))
        after = checked_position(after)
        self._redis.execute_command(
            "XREAD", "COUNT", 1, "BLOCK", ms, "STREAMS", self._key, after, **RAW
        )

    def head(self) -> str:
        """Return the newest position there ever was; ``0-0`` before the first event."""
        return str(self._info().get("last-generated-id", START))

    def lacks(self, position: str) -> bool:
        """Return True if the entry at a position is missing although it was not trimmed."""
        if position == START or self._redis.execute_command(
            "XRANGE", self._key, position, position, **RAW
        ):
            return False
        info = self._info()
        mark, by_others = self._mark(info)
        gone = _dropped(info) and order(position) <= order(_first(info) if by_others else mark)
        # The exception: the newest entry was deleted, and none was added since.
        return not gone and position != info.get("last-generated-id")

    def trim(self, before: str) -> int:
        """Drop the entries before a position, unless a group needs one (TrimRefused)."""
        milliseconds, sequence = order(checked_position(before))
        # In full: to Redis a bare 5000 means 5000-0 as a bound of XTRIM, but the last position of
        # 5000 as the end of a range.
        reply = self._trim(
            self._redis, [self._key, self._keys.trimmed], [f"{milliseconds}-{sequence}"]
        )
        match reply:
            case [b"unfinished", group, position]:
                raise TrimRefused(group.decode(), position.decode())
        return int(reply)

    def forget_group(self, name: str) -> bool:
        """Destroy a group; returns False if it does not exist."""
        destroy = "XGROUP", "DESTROY", self._key, checked_name(name, "group")
        return bool(self._info() and self._redis.execute_command(*destroy))

    def accept_deletions(self) -> None:
        """Record that the entries others have deleted so far do not count as missing."""
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
            info: dict[str, Any] = self._redis.execute_command("XINFO STREAM", self._key, **RAW)
        except ResponseError as error:
            if "no such key" in str(error):
                return {}
            raise
        return {str(name): as_text(value) for name, value in info.items()}


def _dropped(info: dict[str, Any]) -> int:
    return int(info.get("entries-added", 0)) - int(info.get("length", 0))


def _first(info: dict[str, Any]) -> str:
    entry = info.get("first-entry")
    return str(as_text(entry[0]) if entry else info.get("last-generated-id", START))


def as_text(value: Any) -> Any:
    """Return bytes as text, and any other value unchanged."""
    return value.decode() if isinstance(value, bytes) else value
