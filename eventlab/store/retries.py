"""Retries a decision if an aggregate changes before the decision is saved."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from eventlab.errors import InvalidArgument, VersionConflict

T = TypeVar("T")

OnConflict = Callable[[VersionConflict, int], object]

FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.1


def retried(
    tries: int,
    key: str | None,
    seen: Callable[[str], T | None],
    decided: Callable[[], Callable[[], T]],
    on_conflict: OnConflict | None = None,
    unread: Callable[[], T | None] = lambda: None,
) -> T:
    """Return the first outcome under an idempotency key, or decide and save.

    ``seen`` finds the first outcome under ``key``. ``decided`` makes a decision and returns a
    function that saves the decision. If saving raises VersionConflict, ``decided`` is called again
    after a short pause; an error from ``decided`` is not retried. ``on_conflict`` is called with
    each conflict and the number of tries that are left. Before the first try, ``unread`` may decide
    and save without reading; it returns None if it has saved nothing.
    """
    if tries < 1:
        raise InvalidArgument(f"tries={tries!r} must be 1 or more")
    if key is not None and (first := seen(key)) is not None:
        return first
    if (saved := unread()) is not None:
        return saved
    longest = FIRST_PAUSE
    while True:
        save = decided()
        try:
            return save()
        except VersionConflict as conflict:
            tries -= 1
            if on_conflict is not None:
                on_conflict(conflict, tries)
            if tries < 1:
                raise
            time.sleep(random.uniform(0, longest))
            longest = min(LONGEST_PAUSE, 2 * longest)
