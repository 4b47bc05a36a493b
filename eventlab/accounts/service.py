"""The account service, which runs the bank's commands on a store."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from redis.exceptions import NoPermissionError

from eventlab.accounts.account import (
    Account,
    SameAccount,
    UnknownAccount,
    VersionChanged,
    shown,
)
from eventlab.events import Data, Event, Recorded
from eventlab.repository import Repository
from eventlab.store.idempotency import fingerprint_of
from eventlab.store.scripts import Script
from eventlab.store.store import EventStore

ANY_ID: Final = "check"  # the log of this id is neither read nor written


@dataclass(frozen=True)
class Balance:
    """The balance of an account after an event; ``timestamp`` is the position of that event."""

    id: str
    version: int
    timestamp: str
    funds: int


@dataclass(frozen=True)
class Transfer:
    """A completed transfer: the event of each account, and the ``id`` in the meta of both events.

    The events are a ``withdraw`` and a ``deposit``, so readers of the category need not know about
    transfers.
    """

    id: str
    withdrawal: Recorded
    deposit: Recorded


class AccountService:
    """The commands of the bank; several threads and processes can run them at the same time.

    Each command loads the account, decides, and appends with the loaded version as the expected
    version. After a conflict, the command decides again with the current state, at most ``tries``
    times in total. ``transfer`` returns a Transfer, and every other command returns the recorded
    event. The commands have these options in common:

    - ``versions``: run the command only if the account is at one of these versions; otherwise,
      raise VersionChanged (``transfer`` does not have this option)
    - ``idempotency_key``: for a day, a repeat with the same key gets the first outcome, even if
      it is a rejection; ``fingerprint`` identifies the request (default: the command, the
      amount and, for ``transfer``, both ids)
    - ``meta``: data to store with the event, such as a ``correlation_id``

    ``cache``, ``snapshot_every`` and ``schema`` are arguments of ``Repository``.

    >>> service = AccountService(EventStore(lab.redis, "accountStream"))
    >>> service.create("JohnDoe").version
    1
    """

    def __init__(
        self,
        store: EventStore,
        *,
        cache: int = 1000,
        snapshot_every: int | None = None,
        schema: int = 1,
    ) -> None:
        self.accounts = Repository(
            store, Account, cache=cache, snapshot_every=snapshot_every, schema=schema
        )
        self._writable = Script("accounts/writable")

    def create(
        self,
        id: str,
        *,
        versions: Container[int] | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        meta: Data | None = None,
        tries: int = 20,
    ) -> Recorded:
        """Open an account. Raises AccountExists."""
        return self._execute(
            id,
            Account.create,
            "create",
            versions=versions,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            meta=meta,
            tries=tries,
        )

    def deposit(
        self,
        id: str,
        amount: int,
        *,
        versions: Container[int] | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        meta: Data | None = None,
        tries: int = 20,
    ) -> Recorded:
        """Deposit money. Raises InvalidAmount, UnknownAccount or TooMuchMoney."""
        return self._execute(
            id,
            lambda account: account.deposit(amount),
            f"deposit {shown(amount)}",
            versions=versions,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            meta=meta,
            tries=tries,
        )

    def withdraw(
        self,
        id: str,
        amount: int,
        *,
        versions: Container[int] | None = None,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        meta: Data | None = None,
        tries: int = 20,
    ) -> Recorded:
        """Withdraw money. Raises InvalidAmount, UnknownAccount or InsufficientFunds."""
        return self._execute(
            id,
            lambda account: account.withdraw(amount),
            f"withdraw {shown(amount)}",
            versions=versions,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            meta=meta,
            tries=tries,
        )

    def transfer(
        self,
        from_: str,
        to: str,
        amount: int,
        *,
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        meta: Data | None = None,
        tries: int = 20,
    ) -> Transfer:
        """Move money between two accounts. Either both events are stored, or neither is.

        Raises InvalidAmount, SameAccount, UnknownAccount, InsufficientFunds or TooMuchMoney.

        >>> service.transfer("JohnDoe", "JaneDoe", 40).deposit.meta
        {'transfer': '5d2e…'}
        """

        if from_ == to:
            raise SameAccount(to)

        def decide(giver: Account, taker: Account) -> None:
            giver.withdraw(amount)
            taker.deposit(amount)

        # A hash, because two ids may be longer than a fingerprint.
        what = Event("transfer", {"from": from_, "to": to, "amount": shown(amount)})
        request = fingerprint or fingerprint_of([what])
        recorded = self.accounts.transact(
            [from_, to],
            decide,
            tries=tries,
            meta={**(meta or {}), "transfer": uuid.uuid4().hex},
            idempotency_key=idempotency_key,
            fingerprint=request,
        )
        withdrawal, deposit = recorded[from_][0], recorded[to][0]
        return Transfer((deposit.meta or {})["transfer"], withdrawal, deposit)

    def fetch(self, id: str, *, version: int | None = None, at: datetime | None = None) -> Balance:
        """Return the balance now, at a version, or at a time. Raises UnknownAccount."""
        account = self.accounts.load(id, version=version, at=at)
        if not account.version:
            raise UnknownAccount(id)
        return Balance(id, account.version, account.position, account.funds)

    def check(self) -> None:
        """Raise the Redis error that a command would raise now. Nothing is written.

        For example, Redis may be a replica, be full, or have fewer replicas than it requires, or
        the Redis user may lack a permission.
        """
        store = self.accounts.store
        store.head()
        keys = store.slice_of(ANY_ID).keys
        rejected = self._writable(store.redis, [keys.stream, keys.log(ANY_ID), keys.ids], [])
        if rejected:
            raise NoPermissionError(f"the user has no permission to run {rejected.decode()}")

    def _execute(
        self,
        id: str,
        decide: Callable[[Account], None],
        command: str,
        *,
        versions: Container[int] | None,
        idempotency_key: str | None,
        fingerprint: str | None,
        meta: Data | None,
        tries: int,
    ) -> Recorded:
        def decide_at(account: Account) -> None:
            if versions is not None and account.version and account.version not in versions:
                raise VersionChanged(id, account.version)
            decide(account)

        recorded = self.accounts.retry(
            id,
            decide_at,
            tries=tries,
            meta=meta,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint or command,
        )
        return recorded[0]
