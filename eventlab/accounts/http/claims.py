"""Claims: an Idempotency-Key stands for one request of the whole category, whichever account it is about."""

from __future__ import annotations

import hashlib

from eventlab.errors import IdempotencyKeyReused
from eventlab.store.keys import checked_name
from eventlab.store.store import ONCE_SECONDS, EventStore


class Claims:
    """Who was first with a key, in Redis, for a day.

    The store's own ``idempotency_key`` is per account and is written with the events: it makes the repeat
    harmless. A claim only
    finds the client's mistake of one key for two accounts.

    >>> claims = Claims(store)
    >>> claims.claim("8e03978e-40d5", "JohnDoe", "deposit 100")
    """

    def __init__(self, store: EventStore) -> None:
        self._redis = store.redis
        self._prefix = b"{%b}/claim:" % store.keys.stream

    def claim(self, key: str, id: str, request: str) -> None:
        """Take the key for a request about an account; raises IdempotencyKeyReused if it stands for another one."""
        name = self._prefix + checked_name(key, "Idempotency-Key")
        mine = hashlib.sha256(f"{request} {id}".encode()).hexdigest()[:32]
        first = self._redis.set(name, mine, nx=True, get=True, ex=ONCE_SECONDS)
        if first not in (None, mine, mine.encode()):
            raise IdempotencyKeyReused(id, key)
