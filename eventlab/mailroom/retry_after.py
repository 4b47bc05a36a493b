"""Reads Retry-After: how long a server asks a client to wait, in either format of RFC 9110."""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_VALUE = 64  # characters; a date has 29, and no wait needs more digits


def retry_after_seconds(
    value: str | None, *, longest: float, now: float | None = None
) -> float | None:
    """Return how many seconds a Retry-After header asks the client to wait, from 0 to ``longest``.

    The header contains whole seconds or an HTTP date; a date in the past means 0. ``now`` is the
    current time in seconds since 1970. Returns None if there is no header, or if it contains
    neither a number nor a date.

    >>> retry_after_seconds("7", longest=30)
    7.0
    >>> retry_after_seconds("Thu, 01 Jan 1970 00:00:12 GMT", longest=30, now=10.0)
    2.0
    >>> retry_after_seconds("soon", longest=30) is None
    True
    """
    text = (value or "").strip()[:LONGEST_VALUE]
    if re.fullmatch(r"[0-9]+", text):
        return min(float(text), longest)
    seconds = _seconds_until(text, time.time() if now is None else now)
    return None if seconds is None else min(max(seconds, 0.0), longest)


def _seconds_until(date: str, now: float) -> float | None:
    if not re.match(r"[A-Za-z]{3}", date):  # the parser would accept bare numbers as a date
        return None
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:  # an old form has no time zone: HTTP dates are always GMT
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp() - now
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
