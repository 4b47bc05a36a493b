"""Decisions on the cached state: they save a read, and never decide anything wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from eventlab import Event, EventStore, Repository, VersionConflict
from eventlab.accounts import Account, InsufficientFunds
from tests.support.store import CountedReads, deposits, fill

Decide = Callable[[Account], None]


def known(store: EventStore, **options: Any) -> Repository[Account]:
    """Return a repository that expects no events of others for account ``a``, with funds of 10."""
    fill(store, 10)
    accounts = Repository(store, Account, **options)
    accounts.load("a")
    accounts.load("a")
    return accounts


def withdraw_50(account: Account) -> None:
    account.withdraw(50)


def withdraw_50_or_fail(account: Account) -> None:
    account.withdraw({110: 50}[account.funds])  # KeyError for every other balance


def withdraw_50_if_there(account: Account) -> None:
    if account.funds >= 50:
        account.withdraw(50)


def test_retry_reads_nothing_when_nobody_else_has_written(store: EventStore) -> None:
    accounts = known(store)
    counted = CountedReads(store)
    for _ in range(3):
        accounts.retry("a", lambda account: account.deposit(1))
    assert counted.numbers == []
    assert accounts.load("a").funds == 13


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("decide", [withdraw_50, withdraw_50_or_fail, withdraw_50_if_there])
def test_retry_decides_again_when_the_cached_state_was_old(
    store: EventStore, decide: Decide, key: str | None
) -> None:
    accounts = known(store)
    conflicts: list[VersionConflict] = []
    accounts.on_conflict = lambda conflict, _: conflicts.append(conflict)
    store.append("a", deposits(100), expected=11)
    [withdrawal] = accounts.retry("a", decide, tries=1, idempotency_key=key)
    assert (withdrawal.version, withdrawal.data) == (13, {"amount": 50})
    assert accounts.load("a").funds == 60
    assert conflicts == []


@pytest.mark.parametrize("amount", [1, 50])  # accepted, and rejected, for the cached state
def test_retry_saves_what_the_newest_state_allows(store: EventStore, amount: int) -> None:
    accounts = known(store)
    store.append("a", [Event("withdraw", {"amount": 10})], expected=11)
    with pytest.raises(InsufficientFunds):
        accounts.retry("a", lambda account: account.withdraw(amount), tries=1)
    assert store.version("a") == 12


def test_retry_decides_on_a_log_that_was_written_anew(store: EventStore) -> None:
    accounts = known(store)
    store.drop()
    fill(store, 10, amount=7)
    [withdrawal] = accounts.retry("a", lambda account: account.withdraw(70), tries=1)
    assert withdrawal.version == 12
    assert accounts.load("a").funds == 0


def test_retry_reads_first_while_others_write_too(store: EventStore) -> None:
    accounts = known(store)
    appended: list[int] = []
    plain = store.append

    def append(id: str, events: Any, *, expected: Any, **options: Any) -> Any:
        appended.append(expected)
        return plain(id, events, expected=expected, **options)

    store.append = append  # type: ignore[method-assign]
    for number in range(4):
        plain("a", deposits(1), expected=11 + 2 * number)
        accounts.retry("a", lambda account: account.deposit(1))
    # Only the first time it did not know of the others.
    assert appended == [11, 12, 14, 16, 18]


def test_snapshots_are_stored_although_nothing_is_read(store: EventStore) -> None:
    accounts = known(store, snapshot_every=5)
    for _ in range(20):
        accounts.retry("a", lambda account: account.deposit(1))
    fresh = Repository(store, Account, snapshot_every=5)
    counted = CountedReads(store)
    assert fresh.load("a").funds == 30
    assert counted.events <= 6


def test_retry_does_not_decide_again_when_the_outcome_of_its_append_is_unknown(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = known(store)
    decided: list[int] = []

    def lost(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError("lost")

    def decide(account: Account) -> None:
        decided.append(account.version)
        account.deposit(1)

    monkeypatch.setattr(store, "append", lost)
    with pytest.raises(redis.ConnectionError, match="lost"):
        accounts.retry("a", decide)
    assert decided == [11]
