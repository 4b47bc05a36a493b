"""The bank: accounts whose state is stored as events."""

from eventlab.accounts.account import (
    Account,
    AccountExists,
    InsufficientFunds,
    InvalidAmount,
    SameAccount,
    TooMuchMoney,
    UnknownAccount,
    VersionChanged,
)
from eventlab.accounts.service import AccountService, Balance, Transfer
from eventlab.accounts.views import AccountView, EventsByType, MoneyPerDay

__all__ = [
    "Account",
    "AccountExists",
    "AccountService",
    "AccountView",
    "Balance",
    "EventsByType",
    "InsufficientFunds",
    "InvalidAmount",
    "MoneyPerDay",
    "SameAccount",
    "TooMuchMoney",
    "Transfer",
    "UnknownAccount",
    "VersionChanged",
]
