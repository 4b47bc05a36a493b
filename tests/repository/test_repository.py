"""A repository loads what the log says, however it gets there, and saves all or nothing."""

from __future__ import annotations

import multiprocessing
import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlab import (
    Aggregate,
    Event,
    EventStore,
    InvalidEvent,
    Repository,
    VersionConflict,
)
from eventlab.accounts import Account, AccountService, InsufficientFunds
from eventlab.lessons import lossy
from eventlab.servers import connect
from eventlab.store.store import Tail

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


def fill(store: EventStore, count: int, id: str = "a") -> None:
    """An account with so many deposits of 1."""
    store.append(id, [Event("create")] + [Event("deposit", {"amount": 1})] * count, expected=0)


class Counted:
    """Counts what is read of a store."""

    def __init__(self, store: EventStore) -> None:
        self.events = 0
        plain = store.tail

        def tail(*args: Any, **options: Any) -> Tail:
            found = plain(*args, **options)
            self.events += len(found.events)
            return found

        store.tail = tail  # type: ignore[method-assign]


# ---------------------------------------------------------------- failed saves


def failing(error: Exception) -> Callable[..., Any]:
    def append(*_: Any, **__: Any) -> Any:
        raise error

    return append


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("cut"),
        redis.TimeoutError("late"),
        VersionConflict("a", 11, 12),
        OSError("disk"),
    ],
)
def test_a_failed_save_leaves_cache_and_aggregate_as_they_were(
    store: EventStore, error: Exception
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    account = accounts.load("a")
    account.deposit(5)
    before = (account.funds, account.version, account.position, list(account.changes))
    plain, store.append = store.append, failing(error)  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        accounts.save(account)
    assert (account.funds, account.version, account.position, account.changes) == before
    assert accounts.load("a").funds == 10
    store.append = plain  # type: ignore[method-assign]
    assert accounts.save(account)[0].version == 12  # the same aggregate can be saved again
    assert accounts.load("a").funds == 15


def test_after_a_failed_save_the_next_load_reads_the_tail_only(store: EventStore) -> None:
    """What the cache knew is still true: were it changed, everything would be read again to find that out."""
    fill(store, 100)
    accounts = Repository(store, Account)
    account = accounts.load("a")
    account.deposit(5)
    plain, store.append = store.append, failing(redis.ConnectionError("cut"))  # type: ignore[method-assign]
    with pytest.raises(redis.ConnectionError):
        accounts.save(account)
    store.append = plain  # type: ignore[method-assign]
    counted = Counted(store)
    assert accounts.load("a").funds == 100
    assert counted.events == 1


def test_what_is_done_to_an_aggregate_afterwards_does_not_reach_the_cache(
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


def test_a_refused_decision_does_not_reach_the_cache(store: EventStore) -> None:
    fill(store, 10)
    service = AccountService(store)
    with pytest.raises(InsufficientFunds):
        service.withdraw("a", 11)
    account = service.accounts.load("a")
    account.withdraw(10)  # decided, never saved
    assert service.fetch("a").funds == 10


def test_a_lost_answer_of_a_save_is_no_conflict(store: EventStore, tmp_path: Path) -> None:
    fill(store, 10)
    path = store.redis.connection_pool.connection_kwargs["path"]
    with lossy(tmp_path / "p", path) as proxy, redis.Redis(unix_socket_path=proxy.path) as client:
        service = AccountService(EventStore(client, store.category))
        service.fetch("a")
        proxy.lose(1, b"EVALSHA")
        assert service.deposit("a", 5).version == 12
        assert proxy.lost == 1
    assert AccountService(store).fetch("a").funds == 15


# -------------------------------------------------------------------- conflict


def _deposit(category: str, id: str, amount: int, times: int) -> None:
    with connect() as lab:
        service = AccountService(EventStore(lab.redis, category))
        for _ in range(times):
            service.deposit(id, amount)


def test_two_services_in_two_processes_decide_again_on_fresh_state(store: EventStore) -> None:
    service = AccountService(store)
    service.create("a")
    other = SPAWN.Process(target=_deposit, args=(store.category, "a", 1, 200))
    other.start()
    _deposit(store.category, "a", 1000, 200)
    other.join(60)
    assert other.exitcode == 0
    assert service.fetch("a").funds == 200_200
    assert service.fetch("a").version == 401


def test_a_conflict_is_raised_after_the_last_try_and_each_try_sees_fresh_state(
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
    with pytest.raises(ValueError, match="tries"):
        accounts.retry("a", overtaken, tries=0)


def test_the_pauses_between_tries_grow_differ_and_are_bounded(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 1)
    pauses: list[float] = []
    monkeypatch.setattr("eventlab.repository.time", types.SimpleNamespace(sleep=pauses.append))
    store.append = failing(VersionConflict("a", 2, 3))  # type: ignore[method-assign]
    for _ in range(20):
        with pytest.raises(VersionConflict):
            Repository(store, Account).retry("a", lambda account: account.deposit(1), tries=12)
    tries = [pauses[n::11] for n in range(11)]
    assert len(pauses) == 20 * 11
    assert max(tries[0]) <= 0.002
    assert 0.002 < max(tries[5]) <= 0.064
    assert 0.02 < max(pauses) <= 0.1
    assert all(len(set(some)) == 20 and min(some) >= 0 for some in tries)


def test_the_twin_of_a_request_that_was_stored_meanwhile_gets_its_answer(store: EventStore) -> None:
    fill(store, 100)
    service, twin = AccountService(store), AccountService(store)
    load = service.accounts.load
    answers = []

    def load_late(id: str, **options: Any) -> Account:
        if not answers:
            answers.append(twin.withdraw("a", 100, idempotency_key="key"))
        return load(id, **options)

    service.accounts.load = load_late  # type: ignore[method-assign]
    assert service.withdraw("a", 100, idempotency_key="key") == answers[0]
    assert store.version("a") == 102


# ------------------------------------------------------------------ known state


def test_the_cache_reads_the_tail_only(store: EventStore) -> None:
    fill(store, 1000)
    accounts = Repository(store, Account)
    accounts.load("a")
    store.append("a", [Event("deposit", {"amount": 7})], expected=1001)
    counted = Counted(store)
    assert accounts.load("a").funds == 1007
    assert counted.events == 2  # the newest known, as a check, and the new one


def test_the_cache_holds_the_newest_used(store: EventStore) -> None:
    accounts = Repository(store, Account, cache=2)
    for id in "abc":
        fill(store, 5, id)
        accounts.load(id)
    assert list(accounts._cache) == ["b", "c"]
    accounts.load("b")
    fill(store, 5, "d")
    accounts.load("d")
    assert list(accounts._cache) in (["b", "d"], ["c", "d"])
    assert Repository(store, Account, cache=0).load("a").funds == 5


def test_what_is_known_of_a_dropped_category_is_forgotten(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account, snapshot_every=5)
    accounts.load("a")
    snapshot = store.redis.get(store.keys.snapshot("a"))
    store.drop()
    assert accounts.load("a").version == 0
    fill(store, 20)
    store.redis.set(
        store.keys.snapshot("a"), snapshot
    )  # of another log, at a version that there is
    assert accounts.load("a").funds == 20
    assert Repository(store, Account, snapshot_every=5).load("a").funds == 20


def test_a_snapshot_saves_reading_and_nothing_else(store: EventStore) -> None:
    fill(store, 1000)
    Repository(store, Account, snapshot_every=100).load("a")
    store.append("a", [Event("deposit", {"amount": 7})] * 10, expected=1001)
    counted = Counted(store)
    assert Repository(store, Account, snapshot_every=100).load("a").funds == 1070
    assert counted.events == 11
    Repository(store, Account).drop_snapshots()
    assert Repository(store, Account, snapshot_every=100).load("a").funds == 1070
    assert counted.events == 11 + 1011


def test_snapshots_are_kept_every_n_events(store: EventStore) -> None:
    accounts = Repository(store, Account, snapshot_every=10)
    kept = []
    for _ in range(35):
        accounts.retry(
            "a", lambda account: account.deposit(1) if account.version else account.create()
        )
        kept.append(store.redis.get(store.keys.snapshot("a")))
    accounts.load("a")
    assert len({snapshot for snapshot in kept if snapshot}) == 3


def test_a_snapshot_of_an_old_schema_is_passed_over(store: EventStore) -> None:
    fill(store, 100)
    Repository(store, Account, snapshot_every=10).load("a")

    class Richer(Account):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.deposits = 0

        def apply(self, event: Any) -> None:
            super().apply(event)
            self.deposits += event.type == "deposit"

    assert (
        Repository(store, Richer, snapshot_every=10).load("a").deposits == 100
    )  # another shape is seen
    assert Repository(store, Account, snapshot_every=10, schema=2).load("a").funds == 100
    store.append("a", [Event("deposit", {"amount": 1})], expected=101)
    assert Repository(store, Richer, snapshot_every=10).load("a").deposits == 101


def test_a_raised_schema_passes_over_snapshots_of_the_same_shape(store: EventStore) -> None:
    fill(store, 100)
    Repository(store, Account, snapshot_every=10).load("a")

    class InCents(Account):
        """The same fields, with another meaning: only the number of the schema tells."""

        def apply(self, event: Any) -> None:
            self.funds += 100 * event.data.get("amount", 0)

    assert Repository(store, InCents, snapshot_every=10, schema=2).load("a").funds == 10_000
    store.append("a", [Event("deposit", {"amount": 1})], expected=101)
    counted = Counted(store)
    assert Repository(store, InCents, snapshot_every=10, schema=2).load("a").funds == 10_100
    assert counted.events == 2  # from its own snapshot, and the event by which that is known


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 200), byte=st.integers(0, 255), cut=st.booleans())
def test_a_corrupted_snapshot_changes_no_state(
    store: EventStore, place: int, byte: int, cut: bool
) -> None:
    if not store.version("a"):
        fill(store, 100)
        Repository(store, Account, snapshot_every=10).load("a")
        store.redis.set(store.keys.snapshot("good"), store.redis.get(store.keys.snapshot("a")))
    good = store.redis.get(store.keys.snapshot("good"))
    place %= len(good)
    bad = good[:place] + (b"" if cut else bytes([byte]) + good[place + 1 :])
    store.redis.set(store.keys.snapshot("a"), bad)
    assert Repository(store, Account, snapshot_every=10).load("a").funds == 100


def test_a_state_that_json_cannot_say_is_refused_by_name(store: EventStore) -> None:
    class Odd(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.seen: set[int] = set()

        def apply(self, event: Any) -> None:
            self.seen.add(event.data["amount"])

    store.append("a", [Event("deposit", {"amount": 1})] * 3, expected=0)
    assert Repository(store, Odd).load("a").seen == {1}
    with pytest.raises(InvalidEvent, match="snapshot"):
        Repository(store, Odd, snapshot_every=2).load("a")


# ------------------------------------------------------------------ time travel


def test_each_version_and_each_time_between(redis_client: redis.Redis, category: str) -> None:
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(12)]
    ticks = iter(times)
    store = EventStore(redis_client, category, clock=lambda: int(next(ticks).timestamp() * 1000))
    store.append("a", [Event("create")], expected=0)
    for n in range(1, 12):
        store.append("a", [Event("deposit", {"amount": n})], expected=n)
    accounts = Repository(store, Account, snapshot_every=4)
    accounts.load("a")
    funds = [sum(range(n + 1)) for n in range(12)]
    assert [accounts.load("a", version=n + 1).funds for n in range(12)] == funds
    assert [accounts.load("a", at=time).funds for time in times] == funds
    assert [accounts.load("a", at=time + timedelta(minutes=59)).funds for time in times] == funds
    assert accounts.load("a", at=times[0] - timedelta(milliseconds=1)).version == 0
    assert accounts.load("a", version=0).version == 0
    with pytest.raises(ValueError, match="time zone"):
        accounts.load("a", at=datetime(2026, 1, 1))


def test_a_token_is_not_for_retry_and_another_outcome_is_not_cached(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    with pytest.raises(TypeError, match="token"):
        accounts.retry("a", lambda account: account.deposit(1), token="t")  # type: ignore[call-arg]
    twin, mine = accounts.load("a"), accounts.load("a")
    twin.deposit(1)
    mine.deposit(2)  # the same request, decided otherwise
    first = accounts.save(twin, idempotency_key="k", fingerprint="request")
    assert accounts.save(mine, idempotency_key="k", fingerprint="request") == first
    assert accounts.load("a").funds == 11


def test_a_repeat_with_another_correlation_id_is_still_a_repeat(store: EventStore) -> None:
    first = store.append(
        "a", [Event("x", {}, {"correlation_id": "1"})], expected=0, idempotency_key="k"
    )
    assert (
        store.append(
            "a", [Event("x", {}, {"correlation_id": "2"})], expected=0, idempotency_key="k"
        )
        == first
    )


# ------------------------------------------------------------ what else it promises


def test_the_one_that_was_not_used_for_longest_leaves_the_cache(store: EventStore) -> None:
    for id in "abc":
        fill(store, 10, id)
    accounts = Repository(store, Account, cache=2)
    for id in "abac":
        accounts.load(id)
    counted = Counted(store)
    accounts.load("a")
    assert counted.events == 1
    accounts.load("b")
    assert counted.events == 1 + 11


def test_what_was_saved_is_known(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    account = accounts.load("a")
    account.deposit(5)
    account.deposit(6)
    saved = accounts.save(account, meta={"correlation_id": "c"})
    assert [event.meta for event in saved] == [{"correlation_id": "c"}] * 2
    counted = Counted(store)
    assert accounts.load("a").funds == 21
    assert counted.events == 1


@pytest.mark.parametrize("every", [None, 5])
def test_a_log_that_was_written_anew_is_not_taken_for_the_old_one(
    store: EventStore, every: int | None
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account, snapshot_every=every)
    assert accounts.load("a").funds == 10
    kept = store.redis.get(store.keys.snapshot("a"))
    store.drop()
    store.append("a", [Event("create")] + [Event("deposit", {"amount": 7})] * 20, expected=0)
    if kept:
        store.redis.set(store.keys.snapshot("a"), kept)  # as from a backup
        accounts = Repository(store, Account, snapshot_every=every)
    assert accounts.load("a").funds == 140


@pytest.mark.parametrize(("events", "kept"), [(9, 0), (10, 1)])
def test_the_first_snapshot_is_kept_at_the_nth_event(
    store: EventStore, events: int, kept: int
) -> None:
    fill(store, events - 1)
    Repository(store, Account, snapshot_every=10).load("a")
    assert store.redis.exists(store.keys.snapshot("a")) == kept


def test_a_repeated_request_is_not_decided_again(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    first = accounts.retry("a", lambda account: account.withdraw(10), idempotency_key="k")
    decisions: list[Account] = []
    assert accounts.retry("a", decisions.append, idempotency_key="k") == first
    assert decisions == []


def test_a_request_refused_because_its_twin_was_stored_gets_the_twins_answer(
    store: EventStore,
) -> None:
    fill(store, 10)
    accounts, other = Repository(store, Account), Repository(store, Account)

    def overtaken(account: Account) -> None:
        other.retry("a", lambda twin: twin.withdraw(10), idempotency_key="k")
        raise InsufficientFunds("a", 0, 10)

    [event] = accounts.retry("a", overtaken, idempotency_key="k")
    assert (event.type, event.version) == ("withdraw", 12)


def test_a_twin_that_decided_otherwise_is_the_same_request(store: EventStore) -> None:
    fill(store, 10)
    accounts, other = Repository(store, Account), Repository(store, Account)

    def overtaken(account: Account) -> None:
        other.retry("a", lambda twin: twin.deposit(6), idempotency_key="k")
        account.deposit(5)

    [event] = accounts.retry("a", overtaken, idempotency_key="k")
    assert event.data == {"amount": 6}
    assert accounts.load("a").funds == 16
