"""Idempotency keys of the bank: a repeat gets the first outcome, even a rejection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from eventlab import CommandRejected, EventStore, IdempotencyKeyReused
from eventlab.accounts import Account, AccountService, InsufficientFunds
from tests.support.store import fill


@pytest.fixture
def service(store: EventStore) -> AccountService:
    return AccountService(store)


def rejection_of(call: Callable[[], object]) -> CommandRejected:
    with pytest.raises(CommandRejected) as rejection:
        call()
    return rejection.value


def test_repeat_of_the_last_withdrawal_is_not_rejected(service: AccountService) -> None:
    service.create("JohnDoe", idempotency_key="k0")
    service.deposit("JohnDoe", 100, idempotency_key="k1")
    first = service.withdraw("JohnDoe", 100, idempotency_key="k2")
    assert service.withdraw("JohnDoe", 100, idempotency_key="k2") == first
    assert service.create("JohnDoe", idempotency_key="k0").version == 1
    with pytest.raises(IdempotencyKeyReused):
        service.withdraw("JohnDoe", 99, idempotency_key="k2")
    with pytest.raises(IdempotencyKeyReused):
        service.deposit("JohnDoe", 100, idempotency_key="k2")
    assert service.fetch("JohnDoe").version == 3


@pytest.mark.parametrize("kind", ["exists", "funds", "amount", "money", "unknown", "versions"])
def test_repeat_gets_every_rejection_unchanged(store: EventStore, kind: str) -> None:
    service = AccountService(store)
    service.create("a")
    service.deposit("a", 2**53)
    calls: dict[str, Callable[[], object]] = {
        "exists": lambda: service.create("a", idempotency_key="k"),
        "funds": lambda: (
            service.withdraw("a", 2**53, idempotency_key="k")
            and service.withdraw("a", 1, idempotency_key="k2")
        ),
        "amount": lambda: service.deposit("a", -1, idempotency_key="k"),
        "money": lambda: service.deposit("a", 1, idempotency_key="k"),
        "unknown": lambda: service.deposit("b", 1, idempotency_key="k"),
        "versions": lambda: service.withdraw("a", 1, idempotency_key="k", versions=[1]),
    }
    first = rejection_of(calls[kind])
    # Now it could be decided differently.
    service.withdraw("a", 1) if kind == "money" else service.create("b")
    again = rejection_of(calls[kind])
    assert (type(again), str(again), vars(again)) == (type(first), str(first), vars(first))
    assert AccountService(store).fetch("a").version >= 2


def test_key_is_for_one_amount_unless_the_caller_gives_a_fingerprint(
    store: EventStore,
) -> None:
    service = AccountService(store)
    service.create("a")
    service.deposit("a", 5, idempotency_key="k")
    with pytest.raises(IdempotencyKeyReused):
        service.deposit("a", 6, idempotency_key="k")
    first = service.deposit("a", 5, idempotency_key="own", fingerprint="mine")
    assert service.deposit("a", 6, idempotency_key="own", fingerprint="mine") == first
    with pytest.raises(IdempotencyKeyReused):  # rejected, and the key is for another request
        store.reject("a", "k", CommandRejected("no"), fingerprint="withdraw 9")


def test_fingerprint_none_means_the_command(store: EventStore) -> None:
    service = AccountService(store)
    service.create("a")
    first = rejection_of(lambda: service.withdraw("a", 5, idempotency_key="k", fingerprint=None))
    assert str(
        rejection_of(lambda: service.withdraw("a", 5, idempotency_key="k", fingerprint=None))
    ) == str(first)


def test_request_never_gets_the_rejection_of_another(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = AccountService(store)
    service.create("a")
    plain = store.redis.execute_command
    left = iter(["first"])

    def cut(*args: Any, **options: Any) -> Any:
        answer = plain(*args, **options)
        if args[0] == "SET" and next(left, None):  # killed after its first write
            raise redis.ConnectionError("cut")
        return answer

    monkeypatch.setattr(store.redis, "execute_command", cut)
    with pytest.raises(redis.ConnectionError):
        service.withdraw("a", 100, idempotency_key="k")
    try:
        first = rejection_of(lambda: service.withdraw("a", 50, idempotency_key="k"))
    except IdempotencyKeyReused:
        return  # the first request has taken the whole key
    assert str(rejection_of(lambda: service.withdraw("a", 50, idempotency_key="k"))) == str(first)


# --------------------------------------------------------------- concurrent duplicates


def test_duplicate_that_is_stored_during_the_load_is_the_outcome(store: EventStore) -> None:
    fill(store, 100)
    service = AccountService(store)
    other = AccountService(store)
    load = service.accounts.load
    outcomes = []

    def load_late(id: str, **options: Any) -> Account:
        if not outcomes:
            outcomes.append(other.withdraw("a", 100, idempotency_key="key"))
        return load(id, **options)

    service.accounts.load = load_late  # type: ignore[method-assign]
    assert service.withdraw("a", 100, idempotency_key="key") == outcomes[0]
    assert store.version("a") == 102


def test_first_rejection_is_the_outcome_of_both_duplicates(
    service: AccountService,
) -> None:
    store = service.accounts.store
    other = AccountService(EventStore(store.redis, store.category))
    service.create("a")
    plain = other.accounts.store.seen
    asked = iter([True])

    def before_it_decides(*args: Any, **options: Any) -> Any:
        found = plain(*args, **options)
        # Between the lookup and the decision, the other one is rejected and money is deposited.
        if next(asked, False):
            with pytest.raises(InsufficientFunds):
                service.withdraw("a", 5, idempotency_key="k")
            service.deposit("a", 5)
        return found

    other.accounts.store.seen = before_it_decides  # type: ignore[method-assign]
    with pytest.raises(InsufficientFunds, match="holds 0"):
        other.withdraw("a", 5, idempotency_key="k")
    assert service.fetch("a").funds == 5


def test_rejection_that_comes_second_yields_to_the_result(service: AccountService) -> None:
    store = service.accounts.store
    other = AccountService(EventStore(store.redis, store.category))
    service.create("a")
    plain = other.accounts.store.reject

    def late(*args: Any, **options: Any) -> Any:
        service.deposit("a", 5)
        service.withdraw("a", 5, idempotency_key="k")
        return plain(*args, **options)

    other.accounts.store.reject = late  # type: ignore[method-assign]
    assert other.withdraw("a", 5, idempotency_key="k") == store.read("a")[2]
    assert service.fetch("a").funds == 0
