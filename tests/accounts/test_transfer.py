"""Transfers: money leaves one account and reaches another, or neither changes."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.database import Database

from eventlab import EventStore, IdempotencyKeyReused, Projector
from eventlab.accounts import (
    Account,
    AccountService,
    AccountView,
    InsufficientFunds,
    InvalidAmount,
    MoneyPerDay,
    SameAccount,
    TooMuchMoney,
    UnknownAccount,
)
from tests.support.store import contents


@pytest.fixture
def service(store: EventStore) -> AccountService:
    """A bank in which A has 100, B has 10, and C the largest balance."""
    service = AccountService(store)
    for id, funds in (("A", 100), ("B", 10), ("C", 2**53)):
        service.create(id)
        service.deposit(id, funds)
    return service


def funds(service: AccountService, *ids: str) -> list[int]:
    return [service.fetch(id).funds for id in ids]


def test_transfer_records_a_withdrawal_and_a_deposit_with_one_id(service: AccountService) -> None:
    done = service.transfer("A", "B", 40, meta={"correlation_id": "c1"})
    meta = {"correlation_id": "c1", "transfer": done.id}
    assert [(e.id, e.version, e.type, e.data, e.meta) for e in (done.withdrawal, done.deposit)] == [
        ("A", 3, "withdraw", {"amount": 40}, meta),
        ("B", 3, "deposit", {"amount": 40}, meta),
    ]
    assert list(service.accounts.store.read_all())[-2:] == [done.withdrawal, done.deposit]
    assert funds(service, "A", "B") == [60, 50]
    assert service.transfer("A", "B", 40).id != done.id


@pytest.mark.parametrize(
    ("from_", "to", "amount", "kind"),
    [
        ("A", "B", 101, InsufficientFunds),
        ("A", "C", 1, TooMuchMoney),
        ("A", "unknown", 1, UnknownAccount),
        ("unknown", "A", 1, UnknownAccount),
        ("A", "A", 1, SameAccount),
        ("A", "B", 0, InvalidAmount),
        ("A", "B", True, InvalidAmount),
    ],
)
@pytest.mark.parametrize("key", [None, "k"])
def test_transfer_is_rejected_and_changes_no_account(
    service: AccountService, from_: str, to: str, amount: int, kind: type[Exception], key: str
) -> None:
    store = service.accounts.store
    before = list(store.read_all())
    errors = []
    for _ in range(2):
        with pytest.raises(kind) as error:
            service.transfer(from_, to, amount, idempotency_key=key)
        errors.append(str(error.value))
        service.deposit("B", 1)
    assert errors[0] == errors[1]
    assert [event for event in store.read_all() if event.id != "B"] == [
        event for event in before if event.id != "B"
    ]
    assert funds(service, "A", "B") == [100, 12]


def test_transfer_is_made_once_for_each_idempotency_key(service: AccountService) -> None:
    first = service.transfer("A", "B", 40, idempotency_key="k", meta={"correlation_id": "c1"})
    service.withdraw("A", 60)
    before = contents(service.accounts.store)
    again = service.transfer("A", "B", 40, idempotency_key="k", meta={"correlation_id": "c2"})
    assert again == first
    for from_, to, amount in (("A", "B", 41), ("B", "A", 40), ("A", "C", 40)):
        with pytest.raises(IdempotencyKeyReused):
            service.transfer(from_, to, amount, idempotency_key="k")
    assert contents(service.accounts.store) == before
    assert service.transfer("B", "A", 5, idempotency_key="l" * 255).id != first.id


def test_transfer_between_the_longest_ids_has_a_key(store: EventStore) -> None:
    service = AccountService(store)
    ids = ["a" * 512, "b" * 512]
    for id in ids:
        service.create(id)
        service.deposit(id, 5)
    for _ in range(2):
        service.transfer(ids[0], ids[1], 5, idempotency_key="k")
    assert funds(service, *ids) == [0, 10]


def test_views_count_a_transfer_as_a_withdrawal_and_a_deposit(
    service: AccountService, mongo: Database[dict[str, Any]]
) -> None:
    store = service.accounts.store
    service.transfer("A", "B", 40)
    for view in (AccountView(store.category), MoneyPerDay(f"{store.category}_per_day")):
        with Projector(store, mongo, view) as projector:
            projector.catch_up()
    balances = {each["_id"]: each["funds"] for each in mongo[store.category].find()}
    assert balances == {"A": 60, "B": 50, "C": 2**53}
    days = list(mongo[f"{store.category}_per_day"].find())
    assert sum(day["withdrawn"] for day in days) == 40
    assert sum(day["deposited"] for day in days) == 110 + 2**53 + 40


def test_account_replays_the_same_with_transfers(service: AccountService) -> None:
    service.transfer("A", "B", 40)
    store = service.accounts.store
    assert Account("B").replay(store.read("B")).funds == service.fetch("B").funds == 50
