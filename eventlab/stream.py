"""The category stream: every event of a category, in commit order, as entries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.errors import Trimmed, TrimRefused
from eventlab.keys import START, Keys, checked_name, checked_position, order
from eventlab.scripts import RAW, Script

PAGE: Final = 1_000

Entry = tuple[bytes, dict[bytes, bytes]]


class CategoryStream:
    """A Redis Stream, read by position; it knows what was trimmed, and never passes over it in silence."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._key = keys.stream
        self._trim = Script("trim")

    def entries(self, *, after: str = START, limit: int | None = None) -> Iterator[Entry]:
        """The entries after a position, oldest first. Raises Trimmed when some of them are gone."""
        checked_position(after)
        left = limit
        while left is None or left > 0:
            count = PAGE if left is None else min(PAGE, left)
            page = self._redis.execute_command("XRANGE", self._key, f"({after}", "+", "COUNT", count, **RAW)
            self._check_not_trimmed(after)  # after the read: what was there then may be gone by now, not the reverse
            yield from page
            if len(page) < count:
                return
            after = page[-1][0].decode()
            left = None if left is None else left - len(page)

    def wait(self, *, after: str, seconds: float) -> None:
        """Return when there is an entry after a position, or when the time is over, whatever comes first."""
        self._redis.xread({self._key: checked_position(after)}, count=1, block=max(1, int(seconds * 1000)))

    def head(self) -> str:
        """The newest position there ever was; ``0-0`` before the first event."""
        return str(self._info().get("last-generated-id", START))

    def lacks(self, position: str) -> bool:
        """True if no entry stands at a position, and not because it was trimmed."""
        if position == START or self._redis.xrange(self._key, position, position):
            return False
        info = self._info()
        mark, by_others = self._mark(info)
        gone = _dropped(info) and order(position) <= order(_first(info) if by_others else mark)
        return not gone and position != info.get("last-generated-id")  # the newest one was deleted, and none came since

    def trim(self, before: str) -> int:
        """Drop the entries before a position, unless a group needs one (TrimRefused)."""
        if order(checked_position(before)) == order(START):
            return 0
        answer = self._trim(self._redis, [self._key, self._keys.trimmed], [before])
        match answer:
            case [b"unfinished", group, position]:
                raise TrimRefused(group.decode(), position.decode())
        return int(answer)

    def forget_group(self, name: str) -> bool:
        """Destroy a group; False if there is none."""
        if not self._info():
            return False
        return bool(self._redis.execute_command("XGROUP", "DESTROY", self._key, checked_name(name, "group")))

    def _check_not_trimmed(self, after: str) -> None:
        info = self._info()
        if not _dropped(info):
            return
        (mark, by_others), first = self._mark(info), _first(info)
        if order(after) < order(mark) or (by_others and order(after) < order(first)):
            raise Trimmed(after, first)

    def _mark(self, info: dict[str, Any]) -> tuple[str, bool]:
        by_us, known = self._redis.execute_command("HMGET", self._keys.trimmed, "position", "dropped", **RAW)
        return by_us.decode() if by_us else START, _dropped(info) != int(known or 0)

    def _info(self) -> dict[str, Any]:
        try:
            info: dict[str, Any] = self._redis.xinfo_stream(self._key)
        except ResponseError as error:
            if "no such key" in str(error):
                return {}
            raise
        return {str(name): _text(value) for name, value in info.items()}


def _dropped(info: dict[str, Any]) -> int:
    return int(info.get("entries-added", 0)) - int(info.get("length", 0))


def _first(info: dict[str, Any]) -> str:
    entry = info.get("first-entry")
    return str(_text(entry[0]) if entry else info.get("last-generated-id", START))


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
