"""The bank's rules, and its service on a real store."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from eventlab import Event, EventStore, IdempotencyKeyReused, VersionConflict
from eventlab.accounts import (
    Account,
    AccountExists,
    AccountService,
    Balance,
    InsufficientFunds,
    InvalidAmount,
    TooMuchMoney,
    UnknownAccount,
)
from eventlab.servers import connect

SPAWN = multiprocessing.get_context("spawn")


def opened(funds: int = 0) -> Account:
    """An account with so much in it."""
    account = Account("JohnDoe")
    account.create()
    if funds:
        account.deposit(funds)
    return account


@pytest.fixture
def service(redis_client: redis.Redis, category: str) -> AccountService:
    return AccountService(EventStore(redis_client, category))


def test_decisions_are_events_and_events_are_the_state() -> None:
    account = opened(100)
    account.withdraw(30)
    assert account.changes == [
        Event("create"),
        Event("deposit", {"amount": 100}),
        Event("withdraw", {"amount": 30}),
    ]
    assert (account.funds, account.version) == (70, 3)


@pytest.mark.parametrize(
    "amount",
    [
        True,
        False,
        1.0,
        0.5,
        "100",
        None,
        float("nan"),
        float("inf"),
        0,
        -1,
        2**53 + 1,
        10**400,
        [1],
        b"1",
    ],
)
def test_an_amount_is_a_positive_whole_number(amount: int) -> None:
    account = opened(100)
    for command in (account.deposit, account.withdraw):
        with pytest.raises(InvalidAmount):
            command(amount)
    assert (account.funds, account.version) == (100, 2)


def test_the_largest_amount_is_2_to_the_53() -> None:
    account = opened(2**53)
    with pytest.raises(TooMuchMoney):
        account.deposit(1)
    account.withdraw(2**53)
    assert account.funds == 0


def test_an_account_is_never_overdrawn() -> None:
    account = opened(100)
    with pytest.raises(InsufficientFunds) as refused:
        account.withdraw(101)
    assert (refused.value.funds, refused.value.amount) == (100, 101)
    assert account.changes[2:] == []


def test_an_account_is_created_once_and_first() -> None:
    with pytest.raises(AccountExists):
        opened().create()
    for command in (Account("x").deposit, Account("x").withdraw):
        with pytest.raises(UnknownAccount):
            command(1)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 1000))))
def test_replay_gives_the_state_that_the_decisions_had(commands: list[tuple[bool, int]]) -> None:
    live = opened()
    for is_deposit, amount in commands:
        if is_deposit:
            live.deposit(amount)
        elif amount <= live.funds:
            live.withdraw(amount)
    again = Account("JohnDoe")
    for event in live.changes:
        again.apply(event)
    assert again.state() == live.state()
    assert again.funds >= 0


def test_the_service_walks_like_the_original(service: AccountService) -> None:
    assert service.create("JohnDoe").version == 1
    assert service.deposit("JohnDoe", 100).data == {"amount": 100}
    last = service.withdraw("JohnDoe", 100)
    assert service.fetch("JohnDoe") == Balance("JohnDoe", 3, last.position, 0)
    assert service.fetch("JohnDoe", version=2).funds == 100
    with pytest.raises(AccountExists):
        service.create("JohnDoe")
    with pytest.raises(InsufficientFunds):
        service.withdraw("JohnDoe", 1)
    for call in (
        service.fetch,
        lambda id: service.deposit(id, 1),
        lambda id: service.withdraw(id, 1),
    ):
        with pytest.raises(UnknownAccount):
            call("Nobody")


def test_many_threads_share_one_service(service: AccountService) -> None:
    service.create("JohnDoe")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: service.deposit("JohnDoe", n), range(1, 201)))
    assert service.fetch("JohnDoe").funds == sum(range(1, 201))
    assert service.fetch("JohnDoe").version == 201


def _pay_in(category: str, times: int, start: Any, answers: Any) -> None:
    """Four threads of one process, which share a service."""
    with connect() as lab, ThreadPoolExecutor(4) as pool:
        service, conflicts = AccountService(EventStore(lab.redis, category)), []
        plain = service.accounts.save

        def save(*args: Any, **options: Any) -> Any:
            try:
                return plain(*args, **options)
            except VersionConflict as conflict:
                conflicts.append(conflict)
                raise

        service.accounts.save = save  # type: ignore[method-assign]
        start.wait(60)
        list(pool.map(lambda _: service.deposit("JohnDoe", 1), range(times)))
        answers.put((len(conflicts), service.fetch("JohnDoe").funds))


def test_many_processes_of_many_threads_each_with_a_service(service: AccountService) -> None:
    service.create("JohnDoe")
    start, answers = SPAWN.Barrier(4), SPAWN.Queue()
    arguments = (service.accounts.store.category, 50, start, answers)
    processes = [SPAWN.Process(target=_pay_in, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    found = [answers.get(timeout=40) for _ in processes]
    assert all(conflicts for conflicts, _ in found), "they met nobody: this proves nothing"
    assert max(funds for _, funds in found) == 200
    assert service.fetch("JohnDoe").funds == 200
    assert service.fetch("JohnDoe").version == 201


def test_a_repeated_withdrawal_of_the_last_is_not_refused(service: AccountService) -> None:
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


def test_meta_goes_with_the_event(service: AccountService) -> None:
    service.create("JohnDoe", meta={"correlation_id": "c"})
    assert service.accounts.store.read("JohnDoe")[0].meta == {"correlation_id": "c"}


def test_funds_at_a_time(redis_client: redis.Redis, category: str) -> None:
    times = iter([1000, 2000, 3000])
    service = AccountService(EventStore(redis_client, category, clock=times.__next__))
    service.create("a")
    service.deposit("a", 5)
    service.withdraw("a", 2)
    at = [datetime.fromtimestamp(second, UTC) for second in (1, 2, 2.5, 3, 9)]
    assert [service.fetch("a", at=moment).funds for moment in at] == [0, 5, 5, 3, 3]
    with pytest.raises(UnknownAccount):
        service.fetch("a", at=datetime.fromtimestamp(0.5, UTC))
    with pytest.raises(ValueError, match="time zone"):
        service.fetch("a", at=datetime(2026, 1, 1))


def test_of_a_refused_request_and_its_twin_the_first_outcome_is_that_of_both(
    service: AccountService,
) -> None:
    store = service.accounts.store
    twin = AccountService(EventStore(store.redis, store.category))
    service.create("a")
    plain = twin.accounts.store.seen
    asked = iter([True])

    def too_early(*args: Any, **options: Any) -> Any:
        found = plain(*args, **options)
        if next(
            asked, False
        ):  # between its look and its decision the first is refused, and money comes in
            with pytest.raises(InsufficientFunds):
                service.withdraw("a", 5, idempotency_key="k")
            service.deposit("a", 5)
        return found

    twin.accounts.store.seen = too_early  # type: ignore[method-assign]
    with pytest.raises(InsufficientFunds, match="holds 0"):
        twin.withdraw("a", 5, idempotency_key="k")
    assert service.fetch("a").funds == 5


def test_a_refusal_that_comes_second_gives_way_to_the_result(service: AccountService) -> None:
    store = service.accounts.store
    twin = AccountService(EventStore(store.redis, store.category))
    service.create("a")
    plain = twin.accounts.store.reject

    def late(*args: Any, **options: Any) -> Any:
        service.deposit("a", 5)
        service.withdraw("a", 5, idempotency_key="k")
        return plain(*args, **options)

    twin.accounts.store.reject = late  # type: ignore[method-assign]
    assert twin.withdraw("a", 5, idempotency_key="k") == store.read("a")[2]
    assert service.fetch("a").funds == 0


def test_service_rejects_an_amount_of_5000_digits(service: AccountService) -> None:
    service.create("a")
    for command in (service.deposit, service.withdraw):
        with pytest.raises(InvalidAmount, match="bits"):
            command("a", 10**5000)
