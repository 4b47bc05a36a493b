"""The cache of a repository: it saves reading, and never changes what a load returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from eventlab import Aggregate, Event, EventStore, InvalidArgument, InvalidEvent, Repository
from eventlab.accounts import Account, AccountService, InsufficientFunds
from tests.support.store import CountedReads, fill, write_original


def test_cached_load_reads_only_the_tail(store: EventStore) -> None:
    fill(store, 1000)
    accounts = Repository(store, Account)
    accounts.load("a")
    store.append("a", [Event("deposit", {"amount": 7})], expected=1001)
    counted = CountedReads(store)
    assert accounts.load("a").funds == 1007
    assert counted.events == 2  # the newest known one, as a check, and the new one


def test_save_updates_the_cache(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    account = accounts.load("a")
    account.deposit(5)
    account.deposit(6)
    saved = accounts.save(account, meta={"correlation_id": "c"})
    assert [event.meta for event in saved] == [{"correlation_id": "c"}] * 2
    counted = CountedReads(store)
    assert accounts.load("a").funds == 21
    assert counted.events == 1


def test_failed_save_leaves_the_cache_and_a_good_one_updates_it(
    store: EventStore,
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    account = accounts.load("a")
    account.record("noted", {"set": {1}})
    counted = CountedReads(store)
    with pytest.raises(InvalidEvent):
        accounts.save(account)
    assert (account.version, len(account.changes)) == (12, 1)
    accounts.load("a")
    accounts.retry("a", lambda account: account.deposit(1))
    accounts.load("a")
    # Each load reads the newest known event only, and the retry between them nothing.
    assert counted.numbers == [1, 1]


# -------------------------------------------------------------------------- independence


def test_later_changes_to_an_aggregate_do_not_reach_the_cache(
    store: EventStore,
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    loaded = accounts.load("a")
    loaded.funds = 1_000_000
    assert accounts.load("a").funds == 10
    saved = accounts.load("a")
    saved.deposit(5)
    accounts.save(saved)
    saved.funds = 1_000_000
    assert accounts.load("a").funds == 15
    cached = accounts.load("a")
    cached.funds = 1_000_000
    assert accounts.load("a").funds == 15


def test_rejected_decision_does_not_reach_the_cache(store: EventStore) -> None:
    fill(store, 10)
    service = AccountService(store)
    with pytest.raises(InsufficientFunds):
        service.withdraw("a", 11)
    account = service.accounts.load("a")
    account.withdraw(10)  # decided, never saved
    assert service.fetch("a").funds == 10


class Lines(Aggregate):
    """An aggregate whose attributes share a dict, and that holds its own bound methods."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.lines: list[dict[str, int]] = []
        self.last: dict[str, int] = {}
        self._how: dict[str, Callable[[], None]] = {"line": self._line, "more": self._more}

    def _line(self) -> None:
        self.last = {"quantity": 1}
        self.lines.append(self.last)

    def _more(self) -> None:
        self.last["quantity"] += 1

    def apply(self, event: Any) -> None:
        self._how[event.type]()


def test_copy_keeps_the_references_between_its_attributes(store: EventStore) -> None:
    lines = Repository(store, Lines)
    store.append("a", [Event("line")], expected=0)
    lines.load("a")
    store.append("a", [Event("more")], expected=1)
    assert lines.load("a").lines == Repository(store, Lines).load("a").lines == [{"quantity": 2}]
    never_saved = lines.load("a")
    never_saved.record("more")
    assert lines.load("a").lines == [{"quantity": 2}]


def test_copy_does_not_share_nested_state(store: EventStore) -> None:
    class Shelf(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.counts: dict[str, dict[str, int]] = {"x": {"n": 0}}

        def apply(self, event: Any) -> None:
            self.counts["x"]["n"] += 1

    store.append("a", [Event("more")], expected=0)
    shelves = Repository(store, Shelf)
    shelves.load("a").record("more")
    shelves.load("a").record("more")  # the first one was new, this one is from the cache
    assert shelves.load("a").counts == {"x": {"n": 1}}


# ---------------------------------------------------------------------------------- size


def test_least_recently_used_aggregate_leaves_the_cache(store: EventStore) -> None:
    for id in "abc":
        fill(store, 10, id)
    accounts = Repository(store, Account, cache=2)
    for id in "abac":
        accounts.load(id)
    counted = CountedReads(store)
    accounts.load("a")
    assert counted.events == 1
    accounts.load("b")
    assert counted.events == 1 + 11


def test_cache_of_size_0_stays_empty(store: EventStore) -> None:
    accounts = Repository(store, Account, cache=0)
    accounts.retry("a", Account.create)
    accounts.retry("a", lambda account: account.deposit(1))
    assert not accounts._cache


# -------------------------------------------------------------------------- replaced logs


@pytest.fixture
def still(redis_client: redis.Redis, category: str) -> EventStore:
    """A store whose clock has stopped: a log that is written again has the same positions."""
    return EventStore(redis_client, category, clock=lambda: 5000)


@pytest.mark.parametrize("count", [10, 20])
def test_cache_ignores_a_state_of_a_log_with_the_same_positions(
    still: EventStore, count: int
) -> None:
    fill(still, 10)
    accounts = Repository(still, Account)
    known = accounts.load("a")
    still.drop()
    fill(still, count, amount=7)
    assert still.read("a")[10].position == known.position
    assert accounts.load("a").funds == 7 * count
    assert accounts.load("a").funds == 7 * count


def test_cache_ignores_what_was_saved_to_a_log_with_the_same_positions(still: EventStore) -> None:
    fill(still, 9)
    accounts = Repository(still, Account)
    accounts.retry("a", lambda account: account.deposit(1))
    known = accounts.load("a")
    still.drop()
    fill(still, 10, amount=7)
    assert still.read("a")[-1].position == known.position
    assert accounts.load("a").funds == 70


@pytest.mark.parametrize("token", [None, "mine"])
def test_save_keeps_the_token_of_what_it_wrote(still: EventStore, token: str | None) -> None:
    fill(still, 10)
    accounts = Repository(still, Account)
    account = accounts.load("a")
    account.deposit(5)
    accounts.save(account, token=token)
    counted = CountedReads(still)
    assert accounts.load("a").funds == 15
    assert counted.numbers == [1]  # the state is known to be of this log


def test_save_with_an_idempotency_key_costs_no_full_read(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    for key in "kl":
        accounts.retry("a", lambda account: account.deposit(5), idempotency_key=key)
    counted = CountedReads(store)
    assert accounts.load("a").funds == 20
    assert counted.numbers == [2]  # the newest known event, and the one saved since
    assert accounts.load("a").funds == 20
    assert counted.numbers == [2, 1]


def test_cache_falls_back_to_positions_for_adopted_events(store: EventStore) -> None:
    create = ("a", 1, "create", {})
    write_original(store, create, ("a", 2, "deposit", {"amount": 5}))
    store.adopt()
    accounts = Repository(store, Account)
    assert accounts.load("a").funds == 5
    counted = CountedReads(store)
    assert accounts.load("a").funds == 5
    assert counted.numbers == [1]
    store.drop()
    write_original(store, create, ("a", 2, "deposit", {"amount": 6}), start=1551312621890)
    store.adopt()
    assert accounts.load("a").funds == 6


def test_load_and_save_cost_one_round_trip(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    plain = store.redis.execute_command
    commands: list[str] = []

    def counted(*args: Any, **options: Any) -> Any:
        commands.append(args[0])
        return plain(*args, **options)

    monkeypatch.setattr(store.redis, "execute_command", counted)
    account = accounts.load("a")
    account.deposit(1)
    accounts.save(account)
    accounts.load("a")
    assert commands == ["LRANGE", "EVALSHA", "LRANGE"]
    Repository(store, Account, snapshot_every=5).load("a")
    commands.clear()
    Repository(store, Account, snapshot_every=5).load("a")
    assert commands == ["GET", "LRANGE"]


@pytest.mark.parametrize("option", ["cache", "snapshot_every"])
@pytest.mark.parametrize("number", [-1, 1.5, "9", True])
def test_repository_rejects_a_size_that_is_no_count(
    store: EventStore, option: str, number: Any
) -> None:
    options: dict[str, Any] = {option: number}
    with pytest.raises(InvalidArgument, match=f"{option}="):
        Repository(store, Account, **options)
