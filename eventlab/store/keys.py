"""The Redis keys of a category, and what a name or a position may be."""

from __future__ import annotations

import re
from typing import Final

from eventlab.errors import InvalidName

START: Final = "0-0"
MAX_NAME_BYTES: Final = 512


class Keys:
    """The keys of one category; the hash tag puts them all into the slot of the bare stream's name.

    Raises InvalidName for a category that is empty, too long, or holds braces.

    >>> Keys("accountStream").log("JohnDoe")
    b'{accountStream}:JohnDoe'
    """

    def __init__(self, category: str) -> None:
        self.stream = checked_name(category, "category")
        if b"{" in self.stream or b"}" in self.stream:
            raise InvalidName(
                f"category {category!r}: braces are how Redis Cluster finds a slot, leave them out"
            )
        self._tag = b"{%b}" % self.stream
        self.ids = self._tag + b"/ids"
        self.trimmed = self._tag + b"/trimmed"

    def log(self, id: str) -> bytes:
        """The own log of an aggregate. Only logs have a colon behind the tag: no id can name another key."""
        return self._tag + b":" + checked_name(id, "id")

    def once(self, id: str, key: str) -> bytes:
        """What is kept for a ``idempotency_key`` key of an aggregate; with the id's length, so that no two
        pairs are one key."""
        name = checked_name(id, "id")
        return b"%b/once:%d:%b:%b" % (self._tag, len(name), name, checked_name(key, "once key"))

    def snapshot(self, id: str) -> bytes:
        """The snapshot of an aggregate."""
        return self._tag + b"/snapshot:" + checked_name(id, "id")

    def subscription(self, name: str) -> list[bytes]:
        """What a subscription keeps beside its group: when events are due again, those that failed, those parked."""
        return [
            b"%b/%b:%b" % (self._tag, what, checked_name(name, "name"))
            for what in (b"due", b"failed", b"parked")
        ]

    def beside(self, key: bytes) -> bytes:
        """Where the successor of a key is built, before it takes its place."""
        return self._tag + b"/adopting:" + key

    def pattern(self) -> bytes:
        """A SCAN pattern for all of them but the stream."""
        return re.sub(rb"([\\*?\[\]])", rb"\\\1", self._tag) + b"[:/]*"


def checked_name(name: str, what: str) -> bytes:
    """A name as UTF-8; raises InvalidName if it is no text, empty, or too long."""
    if not isinstance(name, str) or not name:
        raise InvalidName(f"{what} {name!r}: give a text that is not empty")
    try:
        text = name.encode()
    except UnicodeEncodeError as error:
        raise InvalidName(
            f"{what} {name!r}: half a character (a lone surrogate) cannot be stored"
        ) from error
    if len(text) > MAX_NAME_BYTES:
        raise InvalidName(
            f"{what} {name[:20]!r}…: {len(text)} bytes are over the limit of {MAX_NAME_BYTES}"
        )
    return text


def checked_counts(**counts: int | None) -> None:
    """Whole numbers, 0 or more, or None; raises InvalidName for what is none."""
    for what, count in counts.items():
        if count is not None and (type(count) is not int or not 0 <= count < 2**53):
            raise InvalidName(f"{what}={count!r}: give a whole number, 0 or more")


def checked_position(position: str) -> str:
    """A position; raises InvalidName if it is none."""
    number = isinstance(position, str) and re.fullmatch(r"\d{1,20}(-\d{1,20})?", position, re.ASCII)
    if not number or max(order(position)) >= 2**64:
        raise InvalidName(
            f"position {position!r}: expected milliseconds-sequence, such as 1551312621884-0"
        )
    return position


def order(position: str) -> tuple[int, int]:
    """A position as what it is compared by: milliseconds and sequence."""
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence or 0)
