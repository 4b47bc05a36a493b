"""Format durations, sizes and errors as text for people."""

from __future__ import annotations

import re
from typing import Final

from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from eventlab.errors import EventLabError
from eventlab.servers.external import MONGODB_URL, REDIS_URL
from eventlab.store.answers import is_outage

SIZE_UNITS: Final = ("kB", "MB", "GB", "TB")
#: The driver appends its description of all servers to the sentence that matters.
TOPOLOGY: Final = re.compile(r"(, Timeout: [\d.]+s)?, Topology Description: .*", re.DOTALL)


def duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> duration(0), duration(0.42), duration(192), duration(7505)
    ('0 s', '0.4 s', '3 min 12 s', '2 h 5 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    parts = list[tuple[int, str]]()
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def size(count: int) -> str:
    """Return a number of bytes in decimal units.

    >>> size(512), size(12_300), size(1_234_000_000)
    ('512 B', '12.3 kB', '1.2 GB')
    """
    if count < 1000:
        return f"{count} B"
    power = 1
    while count / 1000**power >= 999.95 and power < len(SIZE_UNITS):
        power += 1
    return f"{count / 1000**power:.1f} {SIZE_UNITS[power - 1]}"


def sentence_of(error: Exception) -> str:
    """Return a sentence that explains an error to a user, without the driver's internals."""
    cause = _first_line(error)
    if isinstance(error, EventLabError):
        return TOPOLOGY.sub("", str(error))
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        return (
            f"Redis does not respond ({cause}): check that it is running and, if you set "
            f"{REDIS_URL}, that the URL is correct"
        )
    if isinstance(error, RedisError | RedisClusterException) and is_outage(error):
        return f"Redis is unavailable ({cause}): try again when it accepts requests"
    if isinstance(error, RedisError):
        return f"Redis reported an error ({cause}): run eventlab doctor"
    if isinstance(error, ConnectionFailure):
        return (
            f"MongoDB does not respond ({cause}): check that it is running and, if you set "
            f"{MONGODB_URL}, that the URL is correct"
        )
    if isinstance(error, PyMongoError) and is_outage(error):
        return f"MongoDB is unavailable ({cause}): try again when it accepts requests"
    if isinstance(error, PyMongoError):
        return f"MongoDB reported an error ({cause}): run eventlab doctor"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return (
        f"internal error ({type(error).__name__}: {cause}): report it, with the traceback that"
        " python -X dev -m eventlab prints"
    )


def _first_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OperationFailure) and error.details:
        text = str(error.details.get("errmsg", text))
    lines = TOPOLOGY.sub("", text).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
