"""The bank's rules, and its service on a real store."""

from __future__ import annotations

import inspect
import pydoc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from eventlab import Event, EventStore, VersionConflict
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
from tests.support.processes import FORKSERVER, forked


def opened(funds: int = 0) -> Account:
    """Return an account with these funds."""
    account = Account("JohnDoe")
    account.create()
    if funds:
        account.deposit(funds)
    return account


@pytest.fixture
def service(redis_client: redis.Redis, category: str) -> AccountService:
    return AccountService(EventStore(redis_client, category))


def test_decisions_are_recorded_as_events_that_make_the_state() -> None:
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
def test_account_rejects_an_amount_that_is_not_a_positive_integer(amount: int) -> None:
    account = opened(100)
    for command in (account.deposit, account.withdraw):
        with pytest.raises(InvalidAmount):
            command(amount)
    assert (account.funds, account.version) == (100, 2)


def test_account_holds_2_to_the_53_at_most() -> None:
    account = opened(2**53)
    with pytest.raises(TooMuchMoney):
        account.deposit(1)
    account.withdraw(2**53)
    assert account.funds == 0


def test_account_is_never_overdrawn() -> None:
    account = opened(100)
    with pytest.raises(InsufficientFunds) as rejection:
        account.withdraw(101)
    assert (rejection.value.funds, rejection.value.amount) == (100, 101)
    assert account.changes[2:] == []


def test_account_is_created_once_and_before_other_commands() -> None:
    with pytest.raises(AccountExists):
        opened().create()
    for command in (Account("x").deposit, Account("x").withdraw):
        with pytest.raises(UnknownAccount):
            command(1)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 1000))))
def test_replay_returns_the_state_of_the_live_decisions(commands: list[tuple[bool, int]]) -> None:
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


def test_service_follows_the_walkthrough_of_the_original(service: AccountService) -> None:
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


def test_service_is_safe_for_many_threads(service: AccountService) -> None:
    service.create("JohnDoe")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: service.deposit("JohnDoe", n), range(1, 201)))
    assert service.fetch("JohnDoe").funds == sum(range(1, 201))
    assert service.fetch("JohnDoe").version == 201


def _pay_in(category: str, times: int, start: Any, answers: Any) -> None:
    """Deposit from four threads of one process, which share a service."""
    with connect() as lab, ThreadPoolExecutor(4) as pool:
        service = AccountService(EventStore(lab.redis, category))
        conflicts: list[VersionConflict] = []
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


@pytest.mark.long
def test_services_in_many_processes_with_many_threads_lose_nothing(service: AccountService) -> None:
    service.create("JohnDoe")
    start = FORKSERVER.Barrier(4)
    answers = FORKSERVER.Queue()
    arguments = (service.accounts.store.category, 50, start, answers)
    processes = [forked(_pay_in, *arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    found = [answers.get(timeout=40) for _ in processes]
    assert all(conflicts for conflicts, _ in found), "there was no conflict: this proves nothing"
    assert max(funds for _, funds in found) == 200
    assert service.fetch("JohnDoe").funds == 200
    assert service.fetch("JohnDoe").version == 201


def test_service_stores_meta_with_the_event(service: AccountService) -> None:
    service.create("JohnDoe", meta={"correlation_id": "c"})
    assert service.accounts.store.read("JohnDoe")[0].meta == {"correlation_id": "c"}


def test_fetch_returns_the_funds_at_a_time(redis_client: redis.Redis, category: str) -> None:
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


def test_service_rejects_an_amount_of_5000_digits(service: AccountService) -> None:
    service.create("a")
    for command in (service.deposit, service.withdraw):
        with pytest.raises(InvalidAmount, match="bits"):
            command("a", 10**5000)


OPTIONS = {"versions", "idempotency_key", "fingerprint", "meta", "tries"}


@pytest.mark.parametrize("command", ["create", "deposit", "withdraw"])
def test_help_shows_every_option_of_a_command(command: str) -> None:
    parameters = inspect.signature(getattr(AccountService, command)).parameters
    keywords = {name for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert keywords == OPTIONS
    assert keywords | {"id", "self"} >= parameters.keys() - {"amount"}  # nothing is hidden
    manual = pydoc.render_doc(getattr(AccountService, command), renderer=pydoc.plaintext)
    assert all(f"{option}:" in manual for option in OPTIONS)


def test_typo_in_an_option_fails_at_once_and_is_named(service: AccountService) -> None:
    wrong: dict[str, Any] = {"idempotency_kee": "k"}
    calls = [
        lambda: service.create("a", **wrong),
        lambda: service.deposit("a", 1, **wrong),
        lambda: service.withdraw("a", 1, **wrong),
        lambda: AccountService(service.accounts.store, **wrong),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="unexpected keyword argument 'idempotency_kee'"):
            call()
    assert service.accounts.store.version("a") == 0
