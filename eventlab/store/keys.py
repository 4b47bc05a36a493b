"""The Redis keys of a category, and checks for names, counts, positions and times."""

from __future__ import annotations

import re
from typing import Final

from eventlab.errors import InvalidArgument, InvalidName

START: Final = "0-0"
SLICES: Final = 64  # in a category that is spread over a cluster
SLICE_NAME: Final = re.compile(r"#\d+$", re.ASCII)
MAX_NAME_BYTES: Final = 512
VIEW_GROUP: Final = "view "  # the prefix of the consumer groups of views
YEAR_10000: Final = 253_402_300_800_000  # in milliseconds since 1970: the end of datetime's range


class Keys:
    """The Redis keys of a category or slice; a hash tag puts all of them in one cluster slot.

    ``count`` is the number of slices of the category. ``whole`` contains the keys that all slices
    share. Raises InvalidName for a category that is empty, is too long, contains braces, or is
    named like a slice.

    >>> Keys("accountStream").log("JohnDoe")
    b'{accountStream}:JohnDoe'
    >>> Keys("accountStream", slice=7).log("JohnDoe")
    b'{accountStream#7}:JohnDoe'
    """

    def __init__(self, category: str, *, slice: int | None = None) -> None:
        self.stream = checked_name(category, "category")
        if b"{" in self.stream or b"}" in self.stream:
            raise InvalidName(
                f"category {category!r} contains braces, which select a cluster slot: remove them"
            )
        if SLICE_NAME.search(category):
            raise InvalidName(
                f"category {category!r} ends in # and a number, which is reserved for slices: "
                "rename it"
            )
        self.category = category
        self.count = 1
        self.whole = self
        self._tag = b"{%b}" % self.stream
        if slice is not None:
            self.category = f"{category}#{slice}"
            self.count = SLICES
            self.whole = Keys(category)
            self.stream = self._tag = b"{%b#%d}" % (self.stream, slice)
        self.logs = self._tag + b":"  # the prefix of the key of each aggregate log
        self.slices = self._tag + b"/slices"
        self.ids = self._tag + b"/ids"
        self.trimmed = self._tag + b"/trimmed"
        self.fsync_probe = self._tag + b"/settled"
        self.people = self._tag + b"/people"

    def log(self, id: str) -> bytes:
        """Return the key of an aggregate log.

        Only the key of a log has a colon after the hash tag, so no other key can equal the key of a
        log.
        """
        return self.logs + checked_name(id, "id")

    def idempotency(self, id: str | None, key: str) -> bytes:
        """Return the Redis key that stores the outcome of a request with an idempotency key.

        The Redis key contains the length of the id, so that two different pairs of id and
        idempotency key never have the same Redis key. A commit has no id, so the length is 0.
        """
        name = b"" if id is None else checked_name(id, "id")
        key_name = checked_name(key, "idempotency key")
        return b"%b/once:%d:%b:%b" % (self._tag, len(name), name, key_name)

    def claim(self, key: str) -> bytes:
        """Return the Redis key of the claim on an idempotency key, for the whole category."""
        return self._tag + b"/claim:" + checked_name(key, "idempotency key")

    def snapshot(self, id: str) -> bytes:
        """Return the key of the snapshot of an aggregate."""
        return self._tag + b"/snapshot:" + checked_name(id, "id")

    def subscription(self, name: str) -> list[bytes]:
        """Return the keys that a subscription has in addition to its consumer group.

        These keys hold the times at which events are due again, the failed events, the parked
        events, the aggregates that have an unfinished event, and the state of the subscription.
        """
        return [
            b"%b/%b:%b" % (self._tag, what, checked_name(name, "name"))
            for what in (b"due", b"failed", b"parked", b"lanes", b"state")
        ]

    def successor(self, key: bytes) -> bytes:
        """Return the temporary key under which the replacement of a key is built."""
        return self._tag + b"/adopting:" + key

    def pattern(self) -> bytes:
        """Return a SCAN pattern for all keys of the category except the stream."""
        return _literal(self._tag) + b"[:/]*"

    def all_slices(self) -> bytes:
        """Return a SCAN pattern for the keys of all slices.

        The pattern may also match keys of other categories.
        """
        return _literal(self._tag[:-1]) + b"#*}*"

    def owns(self, key: bytes) -> bool:
        """Return whether a key belongs to this category or to one of its slices."""
        return re.match(re.escape(self._tag[:-1]) + rb"(#\d+)?\}", key) is not None


def _literal(text: bytes) -> bytes:
    return re.sub(rb"([\\*?\[\]])", rb"\\\1", text)


def view_group(name: str) -> str:
    """Return the name of the consumer group that shows the checkpoint of a view.

    No subscription can have this name, so a view and a subscription never share a group.

    >>> view_group("letters")
    'view letters'
    """
    return f"{VIEW_GROUP}{name}"


def checked_subscription(name: str) -> str:
    """Return a subscription's name unchanged, or raise InvalidName if it is reserved for views."""
    if checked_name(name, "name").startswith(VIEW_GROUP.encode()):
        raise InvalidName(
            f"subscription {name!r} begins with {VIEW_GROUP!r}, which is reserved for views: "
            "rename it"
        )
    return name


def checked_name(name: str, what: str) -> bytes:
    """Return a name encoded in UTF-8.

    Raises InvalidName if it is not a string, is empty or too long, or cannot be encoded.
    """
    if not isinstance(name, str) or not name:
        raise InvalidName(f"{what} {name!r} must be a non-empty string")
    try:
        text = name.encode()
    except UnicodeEncodeError as error:
        raise InvalidName(f"{what} {name!r} contains a lone surrogate: remove it") from error
    if len(text) > MAX_NAME_BYTES:
        raise InvalidName(
            f"{what} {name[:20]!r}… is {len(text)} bytes: the limit is {MAX_NAME_BYTES}"
        )
    return text


def checked_counts(**counts: int | None) -> None:
    """Raise InvalidArgument unless each count is None or an integer of 0 or more."""
    for what, count in counts.items():
        if count is not None and (type(count) is not int or not 0 <= count < 2**53):
            raise InvalidArgument(f"{what}={count!r} must be an integer of 0 or more")


def checked_time(time: int) -> int:
    """Return a clock's time unchanged, or raise InvalidArgument if it is not a valid time."""
    if type(time) is not int or not 0 <= time < YEAR_10000:
        raise InvalidArgument(
            f"the clock returned {time!r}, which is not a whole number of milliseconds since 1970"
        )
    return time


def checked_position(position: str) -> str:
    """Return a position unchanged, or raise InvalidArgument if it is not a valid position."""
    number = isinstance(position, str) and re.fullmatch(r"\d{1,20}(-\d{1,20})?", position, re.ASCII)
    if not number or max(order(position)) >= 2**64:
        raise InvalidArgument(
            f"position {position!r} must be milliseconds-sequence, such as 1551312621884-0"
        )
    return position


def order(position: str) -> tuple[int, int]:
    """Return the milliseconds and the sequence number of a position, for comparisons.

    >>> order("1551312621884-0")
    (1551312621884, 0)
    """
    milliseconds, _, sequence = position.partition("-")
    return int(milliseconds), int(sequence or 0)
