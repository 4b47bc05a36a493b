"""The account service: the bank's commands, on a store."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventlab.accounts.account import Account, UnknownAccount, shown
from eventlab.accounts.refusals import Refusals, VersionChanged
from eventlab.errors import CommandRejected
from eventlab.events import Recorded
from eventlab.repository import Repository
from eventlab.store.store import EventStore


@dataclass(frozen=True)
class Balance:
    """What an account holds at a version; ``timestamp`` is the position of the event that made it so."""

    id: str
    version: int
    timestamp: str
    funds: int


class AccountService:
    """Create, deposit, withdraw, fetch; many threads and many processes at once.

    Each command loads the account, decides, and appends with the version that it has seen; after a conflict it
    decides again on what is there now. Commands return the event as recorded. ``options`` go to ``EventStore.append``
    (``idempotency_key``, ``fingerprint``, and ``meta`` for the event); under a ``idempotency_key`` key the
    first outcome stands, a refusal
    too. With ``versions`` a command is done only if the
    account is at one of them: else it raises VersionChanged, without another try.

    >>> service = AccountService(EventStore(lab.redis, "accountStream"))
    >>> service.create("JohnDoe").version
    1
    """

    def __init__(self, store: EventStore, **options: Any) -> None:
        self.accounts = Repository(store, Account, **options)
        self._refusals = Refusals(store)

    def create(self, id: str, **options: Any) -> Recorded:
        """Open an account; raises AccountExists."""
        return self._do(id, Account.create, options, "create")

    def deposit(self, id: str, amount: int, **options: Any) -> Recorded:
        """Put money in; raises InvalidAmount, UnknownAccount, TooMuchMoney."""
        return self._do(
            id, lambda account: account.deposit(amount), options, f"deposit {shown(amount)}"
        )

    def withdraw(self, id: str, amount: int, **options: Any) -> Recorded:
        """Take money out; raises InvalidAmount, UnknownAccount, InsufficientFunds."""
        return self._do(
            id, lambda account: account.withdraw(amount), options, f"withdraw {shown(amount)}"
        )

    def fetch(self, id: str, *, version: int | None = None, at: datetime | None = None) -> Balance:
        """What the account holds now, at a version, or at a time; raises UnknownAccount."""
        account = self.accounts.load(id, version=version, at=at)
        if not account.version:
            raise UnknownAccount(id)
        return Balance(id, account.version, account.position, account.funds)

    def _do(
        self, id: str, decide: Callable[[Account], None], options: dict[str, Any], command: str
    ) -> Recorded:
        versions: Container[int] | None = options.pop("versions", None)

        def decide_at(account: Account) -> None:
            if versions is not None and account.version and account.version not in versions:
                raise VersionChanged(id, account.version)
            decide(account)

        options["fingerprint"] = options.get("fingerprint") or command
        key: str | None = options.get("idempotency_key")
        try:
            done = self.accounts.retry(id, decide_at, **options)
        except CommandRejected as refused:
            if key is None:
                raise
            done = self._refusals.keep(id, key, options["fingerprint"], refused)
        if (
            not done and key is not None
        ):  # a key that was taken without an event: the request was refused
            self._refusals.again(id, key)
        return done[0]
