"""An aggregate: its events and its state never differ."""

from __future__ import annotations

import pytest

from eventlab.accounts import Account


def test_record_records_nothing_when_apply_fails() -> None:
    account = Account("a")
    with pytest.raises(KeyError):
        account.record("deposit", {})
    assert (account.version, account.changes) == (0, [])
