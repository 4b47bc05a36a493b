"""The number of slices of a category: the first event fixes it, and every append checks it.

For a category with one slice, no number is stored. Otherwise, the number is stored in a key of the
whole category, and in a key of each slice with events, where the script of an append can read it.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast

from eventlab.errors import InvalidArgument, SlicesMismatch
from eventlab.store.keys import SLICES, Keys, checked_name
from eventlab.store.scripts import Script

if TYPE_CHECKING:
    from eventlab.store.store import EventStore

ONE: Final = 1


class Sliceable:
    """Creates an object of a subclass if a category has several slices.

    ``_sliced`` names the subclass and its module. The module is imported only when it is needed,
    because it imports the module of its base class.
    """

    _sliced: ClassVar[tuple[str, str]]

    def __new__(cls, *args: object, **options: object) -> Self:
        """Return a new object, of the subclass if ``slices``, or the given store, has several."""
        kind: type = cls
        if "_sliced" in vars(cls):
            store = options.get("store", args[0] if args else None)
            slices = options.get("slices", getattr(store, "slices", ONE))
            if checked_slices(slices) > ONE:
                module, name = cls._sliced
                kind = getattr(import_module(module), name)
        return cast(Self, super().__new__(kind))


def checked_slices(slices: object) -> int:
    """Return a number of slices unchanged, or raise InvalidArgument if it is not supported."""
    if type(slices) is not int or slices not in (ONE, SLICES):
        raise InvalidArgument(f"slices={slices!r} must be {ONE} or {SLICES}")
    return slices


def slice_number(id: str) -> int:
    """Return the slice number of an id, which depends only on the part before the first ``/``.

    >>> slice_number("customer7/account1") == slice_number("customer7/account2")
    True
    """
    return zlib.crc32(checked_name(id, "id").partition(b"/")[0]) % SLICES


def register(redis: Any, keys: Keys) -> None:
    """Record the number of slices in a key of the category and in a key of this slice.

    Raises SlicesMismatch if the category already has a different number of slices.
    """
    whole = keys.whole
    found = int(Script("store/slices")(redis, [whole.stream, whole.slices], [keys.count]))
    if found != keys.count:
        raise SlicesMismatch(whole.category, found)
    if keys is not whole:
        redis.set(keys.slices, keys.count)


def check_slices(redis: Any, keys: Keys) -> None:
    """Raise SlicesMismatch if the category was created with a different number of slices."""
    whole = keys.whole
    if keys is whole and redis.exists(whole.slices):
        raise SlicesMismatch(whole.category, SLICES)
    if keys is not whole and redis.exists(whole.stream):
        raise SlicesMismatch(whole.category, ONE)


def one_stream(store: EventStore) -> None:
    """Check that a store, which may be the store of one slice, has all its events in one stream.

    Raises InvalidArgument if the store has several slices, and SlicesMismatch if the category has a
    different number of slices.
    """
    check_slices(store.redis, store.all_slices()[0].keys)
    if store.slices > 1:
        raise InvalidArgument(
            f"{store.category!r} has {store.slices} slices, each with its own stream: "
            "pass the stores of store.all_slices(), one at a time"
        )
