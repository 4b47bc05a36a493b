"""The errors of a server that is away and may come back: one list for the whole library."""

from __future__ import annotations

from typing import Final

import redis.exceptions
from pymongo.errors import ConnectionFailure

#: Wait and retry. A loading Redis is among them; a wrong command or a full disk is not.
OUTAGES: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    ConnectionFailure,
)
