"""Every shape that an account ever wrote is still read, and every new one has a sample."""

from __future__ import annotations

from pathlib import Path

from eventlab.accounts.account import Account
from eventlab.accounts.views import AccountView, EventsByType, MoneyPerDay
from eventlab.testing.golden import check_golden

GOLDEN = Path(__file__).parents[1] / "golden" / "accounts.jsonl"


def test_golden_events_of_accounts_are_read() -> None:
    account = Account("JohnDoe")
    account.create()
    account.deposit(100)
    account.withdraw(30)
    readers = [Account, AccountView(), MoneyPerDay(), EventsByType()]
    check_golden(GOLDEN, readers=readers, written=account.changes)
