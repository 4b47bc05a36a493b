"""Retries: each try decides on fresh state, and a repeat gets the first outcome."""

from __future__ import annotations

import types
from typing import Any

import pytest

from eventlab import (
    Aggregate,
    CommandRejected,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidArgument,
    Recorded,
    Repository,
    VersionConflict,
)
from eventlab.accounts import Account, AccountService, UnknownAccount
from eventlab.servers import connect
from tests.support.processes import forked
from tests.support.store import fill


def _deposit(category: str, id: str, amount: int, times: int) -> None:
    with connect() as lab:
        service = AccountService(EventStore(lab.redis, category))
        for _ in range(times):
            service.deposit(id, amount)


def test_two_processes_decide_again_on_fresh_state(store: EventStore) -> None:
    service = AccountService(store)
    service.create("a")
    other = forked(_deposit, store.category, "a", 1, 200)
    other.start()
    _deposit(store.category, "a", 1000, 200)
    other.join(60)
    assert other.exitcode == 0
    assert service.fetch("a").funds == 200_200
    assert service.fetch("a").version == 401


def test_retry_raises_the_conflict_after_its_last_try(
    store: EventStore,
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    seen = []

    def overtaken(account: Account) -> None:
        seen.append(account.version)
        account.deposit(1)
        store.append("a", [Event("deposit", {"amount": 1})], expected=account.version - 1)

    with pytest.raises(VersionConflict):
        accounts.retry("a", overtaken, tries=3)
    assert seen == [11, 12, 13]
    with pytest.raises(InvalidArgument, match="tries"):
        accounts.retry("a", overtaken, tries=0)


def test_retry_pauses_are_random_and_grow_to_a_tenth_of_a_second(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float]] = []
    slept: list[float] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high / 2

    def overtaken(account: Account) -> None:
        account.record("deposit", {"amount": 1})
        store.append("a", [Event("deposit", {"amount": 1})], expected=account.version - 1)

    # The names in the module, not time.sleep itself: other threads of this process sleep too.
    monkeypatch.setattr("eventlab.store.retries.random", types.SimpleNamespace(uniform=uniform))
    monkeypatch.setattr("eventlab.store.retries.time", types.SimpleNamespace(sleep=slept.append))
    with pytest.raises(VersionConflict):
        Repository(store, Account).retry("a", overtaken, tries=9)
    assert asked == [(0, high) for high in (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1, 0.1)]
    assert slept == [high / 2 for _, high in asked]


def test_retry_does_not_decide_a_repeat_again(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    first = accounts.retry("a", lambda account: account.withdraw(10), idempotency_key="k")
    decisions: list[Account] = []
    assert accounts.retry("a", decisions.append, idempotency_key="k") == first
    assert decisions == []


@pytest.mark.parametrize("rejects", [True, False])
def test_retry_returns_the_outcome_of_a_concurrent_duplicate(
    store: EventStore, rejects: bool
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    other = Repository(store, Account)
    first: list[Recorded] = []

    def late(account: Account) -> None:
        first.extend(other.retry("a", lambda account: account.deposit(1), idempotency_key="k"))
        if rejects:
            raise CommandRejected("no")
        account.deposit(2)  # another decision than the duplicate's

    assert accounts.retry("a", late, idempotency_key="k") == first
    assert store.version("a") == 12
    assert accounts.load("a").funds == 11


def test_retry_raises_the_first_rejection_without_deciding(store: EventStore) -> None:
    fill(store, 10)
    with pytest.raises(CommandRejected, match="closed"):
        store.reject("a", "k", CommandRejected("closed"), fingerprint="")
    decisions: list[Account] = []
    with pytest.raises(CommandRejected, match="closed"):
        Repository(store, Account).retry("a", decisions.append, idempotency_key="k")
    assert decisions == []


def test_retry_keeps_a_rejection_as_the_outcome_of_its_key(store: EventStore) -> None:
    accounts = Repository(store, Account)
    with pytest.raises(UnknownAccount):
        accounts.retry("a", lambda account: account.deposit(1), idempotency_key="k")
    fill(store, 10)
    with pytest.raises(UnknownAccount):
        accounts.retry("a", lambda account: account.deposit(1), idempotency_key="k")
    assert accounts.retry("a", lambda account: account.deposit(1), idempotency_key="l")


def test_retry_keeps_the_outcome_of_a_decision_without_events(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)

    def take_over_10(account: Account) -> None:
        if account.funds > 10:
            account.withdraw(account.funds - 10)

    assert accounts.retry("a", take_over_10, idempotency_key="k") == []
    accounts.retry("a", lambda account: account.deposit(5))
    assert accounts.retry("a", take_over_10, idempotency_key="k") == []
    assert accounts.load("a").funds == 15
    with pytest.raises(IdempotencyKeyReused):
        accounts.retry("a", take_over_10, idempotency_key="k", fingerprint="another")


def test_retry_does_not_decide_again_when_the_decision_raised_a_conflict(
    store: EventStore,
) -> None:
    fill(store, 10)
    seen = []

    def notify(account: Account) -> None:
        seen.append(account.version)
        account.deposit(1)
        store.append("b", [Event("create")], expected=5)

    with pytest.raises(VersionConflict, match="'b'"):
        Repository(store, Account).retry("a", notify)
    assert seen == [11]


class Basket(Aggregate):
    """Keeps a list of its events as its state, and changes it later."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.items: list[str] = []

    def apply(self, event: Event | Recorded) -> None:
        if event.type == "filled":
            self.items = event.data["items"]
        else:
            self.items.append(event.data["item"])


def test_retry_decides_on_the_values_that_its_caller_gave(store: EventStore) -> None:
    items = ["bread"]
    others = iter(["first"])

    def decide(basket: Basket) -> None:
        if next(others, None):
            store.append("a", [Event("added", {"item": "salt"})], expected=0)
        basket.record("filled", {"items": items})
        basket.record("added", {"item": "tea"})

    baskets = Repository(store, Basket)
    baskets.retry("a", decide)
    assert items == ["bread"]
    assert [event.data for event in store.read("a", after=1)] == [
        {"items": ["bread"]},
        {"item": "tea"},
    ]
    items.append("changed by the caller")
    assert baskets.load("a").items == ["bread", "tea"]


def test_retry_can_conflict_more_than_a_thousand_times(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(account: Account) -> None:
        account.record("deposit", {"amount": 1})
        store.append("a", [Event("deposit", {"amount": 1})], expected=account.version - 1)

    monkeypatch.setattr("eventlab.store.retries.time", types.SimpleNamespace(sleep=lambda _: None))
    fill(store, 1)
    with pytest.raises(VersionConflict):
        Repository(store, Account).retry("a", overtaken, tries=1100)
    assert store.version("a") == 1102


@pytest.mark.parametrize("option", ["token", "idempotency_kee", "limit"])
def test_retry_names_an_unknown_option(store: EventStore, option: str) -> None:
    wrong: dict[str, Any] = {option: "x"}
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{option}'"):
        Repository(store, Account).retry("a", Account.create, **wrong)
    assert store.version("a") == 0
