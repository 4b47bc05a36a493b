"""Refusals: the answer to a request with a key, when that answer was no; kept for a day, as a result is."""

from __future__ import annotations

from typing import Final, NoReturn

import msgspec

from eventlab.accounts.account import (
    AccountExists,
    InsufficientFunds,
    InvalidAmount,
    TooMuchMoney,
    UnknownAccount,
)
from eventlab.errors import CommandRejected
from eventlab.events import Recorded, encode_json
from eventlab.store.scripts import RAW
from eventlab.store.store import ONCE_SECONDS, EventStore, Once


class VersionChanged(CommandRejected):
    """The account is at none of the versions that the caller asked for. Data: ``id``, ``actual``."""

    def __init__(self, id: str, actual: int) -> None:
        self.id, self.actual = id, actual
        super().__init__(
            f"account {id!r} is at version {actual}, which is not what you have seen: fetch it again"
        )


KINDS: Final = (
    AccountExists,
    InsufficientFunds,
    InvalidAmount,
    TooMuchMoney,
    UnknownAccount,
    VersionChanged,
)


class Refusals:
    """What was refused under which ``idempotency_key`` key.

    Of two twins that run at once, one may be refused and the other stored, when money has come in between. So a
    refusal takes the key as a result would, and the first of the two is the outcome of both.

    >>> refusals = Refusals(store)
    >>> refusals.keep("JohnDoe", "8e03978e-40d5", "withdraw 100", InsufficientFunds("JohnDoe", 0, 100))
    Traceback (most recent call last):
    InsufficientFunds: account 'JohnDoe' holds 0, which is less than 100
    """

    def __init__(self, store: EventStore) -> None:
        self._store, self._redis = store, store.redis

    def keep(self, id: str, key: str, request: str, refused: CommandRejected) -> list[Recorded]:
        """Raise the refusal as the outcome of the request, unless it has one: then that is returned, or raised."""
        plain = {
            name: value for name, value in vars(refused).items() if isinstance(value, str | int)
        }
        # Behind the three of an Once, in the one key: no crash and no expiry can come between them.
        kept = encode_json(
            [
                *msgspec.structs.astuple(Once(request, 0, 0)),
                type(refused).__name__,
                str(refused),
                plain,
            ]
        )
        name = self._store.keys.once(id, key)
        if (
            self._redis.execute_command("SET", name, kept, "NX", "GET", "EX", ONCE_SECONDS, **RAW)
            is None
        ):
            raise refused
        return self._store.seen(id, key, fingerprint=request) or self.again(id, key)

    def again(self, id: str, key: str) -> NoReturn:
        """Raise the refusal that was kept."""
        kept = self._redis.execute_command("GET", self._store.keys.once(id, key), **RAW)
        name, text, data = msgspec.json.decode(kept)[3:]
        kind = next(kind for kind in KINDS if kind.__name__ == name)
        refused = kind.__new__(kind, text)
        vars(refused).update(data)
        raise refused
