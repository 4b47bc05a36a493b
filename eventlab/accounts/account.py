"""The account aggregate, which implements the rules of the bank."""

from __future__ import annotations

import reprlib
from typing import Any, Final

from eventlab.aggregate import Aggregate
from eventlab.errors import CommandRejected
from eventlab.events import Event, Recorded

#: The limit of an amount and of a balance, because JavaScript reads larger integers inexactly.
LARGEST: Final = 2**53


def shown(amount: object) -> str:
    """Return an amount as a short string, whatever its type or size.

    >>> shown(100)
    '100'
    """
    if isinstance(amount, int) and amount.bit_length() > 256:
        return f"of {amount.bit_length()} bits"
    return reprlib.repr(amount)


class InvalidAmount(CommandRejected, ValueError):
    """An amount is not an integer from 1 to 2**53, in the currency's smallest unit.

    Data: ``amount``.
    """

    def __init__(self, amount: object) -> None:
        self.amount = amount
        super().__init__(
            f"amount {shown(amount)} must be an integer from 1 to 2**53, "
            "in the currency's smallest unit"
        )


class AccountExists(CommandRejected):
    """The account already exists. Data: ``id``."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"account {id!r} already exists")


class UnknownAccount(CommandRejected, LookupError):
    """An account with this id was never created. Data: ``id``."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"account {id!r} does not exist: create it first")


class InsufficientFunds(CommandRejected):
    """A withdrawal would overdraw the account. Data: ``id``, ``funds``, ``amount``."""

    def __init__(self, id: str, funds: int, amount: int) -> None:
        self.id = id
        self.funds = funds
        self.amount = amount
        super().__init__(f"account {id!r} holds {funds}, which is less than {amount}")


class TooMuchMoney(CommandRejected):
    """A deposit would raise the balance above 2**53. Data: ``id``, ``funds``, ``amount``."""

    def __init__(self, id: str, funds: int, amount: int) -> None:
        self.id = id
        self.funds = funds
        self.amount = amount
        super().__init__(
            f"account {id!r} holds {funds}; {amount} more would exceed the limit of 2**53"
        )


class SameAccount(CommandRejected, ValueError):
    """The source and the destination of a transfer are the same account. Data: ``id``."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"account {id!r} cannot transfer money to itself: name another account")


class VersionChanged(CommandRejected):
    """The account is not at any of the versions that the caller named.

    Data: ``id``, ``actual``.
    """

    def __init__(self, id: str, actual: int) -> None:
        self.id = id
        self.actual = actual
        super().__init__(
            f"account {id!r} is at version {actual}, not the version that you read: fetch the "
            "account again"
        )


class Account(Aggregate):
    """An account, with the events ``create``, ``deposit`` and ``withdraw``.

    A ``deposit`` or ``withdraw`` event has an ``amount``.

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
        """Open the account. Raises AccountExists."""
        if self.version:
            raise AccountExists(self.id)
        self.record("create")

    def deposit(self, amount: int) -> None:
        """Deposit money. Raises InvalidAmount, UnknownAccount or TooMuchMoney."""
        amount = _checked(amount)
        self._must_exist()
        if self.funds + amount > LARGEST:
            raise TooMuchMoney(self.id, self.funds, amount)
        self.record("deposit", {"amount": amount})

    def withdraw(self, amount: int) -> None:
        """Withdraw money. Raises InvalidAmount, UnknownAccount or InsufficientFunds."""
        amount = _checked(amount)
        self._must_exist()
        if amount > self.funds:
            raise InsufficientFunds(self.id, self.funds, amount)
        self.record("withdraw", {"amount": amount})

    def apply(self, event: Event | Recorded) -> None:
        """Update the funds according to an event."""
        match event.type:
            case "deposit":
                self.funds += event.data["amount"]
            case "withdraw":
                self.funds -= event.data["amount"]

    def _must_exist(self) -> None:
        if not self.version:
            raise UnknownAccount(self.id)


def _checked(amount: Any) -> int:
    # In Python, True is an int and 1.0 == 1, but a caller that passes either has made a mistake.
    if type(amount) is not int or not 0 < amount <= LARGEST:
        raise InvalidAmount(amount)
    return amount
