"""An account: the rules of the bank."""

from __future__ import annotations

import reprlib
from typing import Any, Final

from eventlab.aggregate import Aggregate
from eventlab.errors import CommandRejected
from eventlab.events import Event, Recorded

LARGEST: Final = (
    2**53
)  # the last whole number that every reader of JSON, JavaScript among them, takes as it is


def shown(amount: object) -> str:
    """An amount as a short text, whatever it is."""
    return (
        "of so many digits"
        if isinstance(amount, int) and amount.bit_length() > 256
        else reprlib.repr(amount)
    )


class InvalidAmount(CommandRejected, ValueError):
    """An amount that is no positive whole number of the currency's smallest unit. Data: ``amount``."""

    def __init__(self, amount: object) -> None:
        self.amount = amount
        why = "give a whole number from 1 to 2**53, in the currency's smallest unit"
        super().__init__(f"amount {shown(amount)}: {why}")


class AccountExists(CommandRejected):
    """An account is created once. Data: ``id``."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"account {id!r} exists already")


class UnknownAccount(CommandRejected, LookupError):
    """No account of this id was created. Data: ``id``."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"account {id!r} does not exist: create it first")


class InsufficientFunds(CommandRejected):
    """An account is never overdrawn. Data: ``id``, ``funds``, ``amount``."""

    def __init__(self, id: str, funds: int, amount: int) -> None:
        self.id, self.funds, self.amount = id, funds, amount
        super().__init__(f"account {id!r} holds {funds}, which is less than {amount}")


class TooMuchMoney(CommandRejected):
    """The balance would pass what JSON carries exactly, 2**53. Data: ``id``, ``funds``, ``amount``."""

    def __init__(self, id: str, funds: int, amount: int) -> None:
        self.id, self.funds, self.amount = id, funds, amount
        super().__init__(f"account {id!r} holds {funds}; with {amount} more it would pass 2**53")


class Account(Aggregate):
    """One account. Its events: ``create``, ``deposit`` and ``withdraw``, the latter two with an ``amount``.

    >>> account = Account("JohnDoe")
    >>> account.create()
    >>> account.deposit(100)
    >>> account.funds
    100
    """

    funds: int

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.funds = 0

    def create(self) -> None:
        """Open the account; raises AccountExists."""
        if self.version:
            raise AccountExists(self.id)
        self.record("create")

    def deposit(self, amount: int) -> None:
        """Put money in; raises InvalidAmount, UnknownAccount, TooMuchMoney."""
        amount = _checked(amount)
        self._must_exist()
        if self.funds + amount > LARGEST:
            raise TooMuchMoney(self.id, self.funds, amount)
        self.record("deposit", {"amount": amount})

    def withdraw(self, amount: int) -> None:
        """Take money out; raises InvalidAmount, UnknownAccount, InsufficientFunds."""
        amount = _checked(amount)
        self._must_exist()
        if amount > self.funds:
            raise InsufficientFunds(self.id, self.funds, amount)
        self.record("withdraw", {"amount": amount})

    def apply(self, event: Event | Recorded) -> None:
        """Evolve the funds."""
        match event.type:
            case "deposit":
                self.funds += event.data["amount"]
            case "withdraw":
                self.funds -= event.data["amount"]

    def _must_exist(self) -> None:
        if not self.version:
            raise UnknownAccount(self.id)


def _checked(amount: Any) -> int:
    # bool is an int to Python, and 1.0 == 1: both are a caller's mistake
    if type(amount) is not int or not 0 < amount <= LARGEST:
        raise InvalidAmount(amount)
    return amount
