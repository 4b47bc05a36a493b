"""What a repository and its service promise, each said by a test that fails without it."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import redis

from eventlab import (
    Aggregate,
    CommandRejected,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidEvent,
    Recorded,
    Repository,
    VersionConflict,
)
from eventlab.accounts import Account, AccountService
from eventlab.store.store import Tail


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


def fill(store: EventStore, count: int, amount: int = 1) -> None:
    """An account with so many deposits."""
    store.append(
        "a", [Event("create")] + [Event("deposit", {"amount": amount})] * count, expected=0
    )


def counted(store: EventStore) -> list[int]:
    """The numbers of events that the reads of a store give, from now on."""
    numbers: list[int] = []
    plain = store.tail

    def tail(*args: Any, **options: Any) -> Tail:
        found = plain(*args, **options)
        numbers.append(len(found.events))
        return found

    store.tail = tail  # type: ignore[method-assign]
    return numbers


# ----------------------------------------------------------------------- cache


def test_what_is_decided_on_a_loaded_aggregate_stays_its_own(store: EventStore) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    account = accounts.load("a")  # the first: it is put into the cache
    account.deposit(5)
    assert accounts.load("a").funds == 10
    accounts.save(account)
    account.deposit(5)  # after the save, not saved
    assert accounts.load("a").funds == 15


def test_a_failed_save_costs_the_next_load_nothing_and_a_good_one_is_known(
    store: EventStore,
) -> None:
    fill(store, 10)
    accounts = Repository(store, Account)
    account = accounts.load("a")
    account.record("noted", {"what": {1}})
    numbers = counted(store)
    with pytest.raises(InvalidEvent):
        accounts.save(account)
    assert (account.version, len(account.changes)) == (12, 1)
    accounts.load("a")
    accounts.retry("a", lambda account: account.deposit(1))
    accounts.load("a")
    assert numbers == [1, 1, 1]  # each time the newest known event only


def test_what_was_used_longest_ago_goes_first(store: EventStore) -> None:
    accounts = Repository(store, Account, cache=2)
    for id in "abc":
        store.append(id, [Event("create")], expected=0)
    for id in "abac":  # a is used again, without news
        accounts.load(id)
    assert list(accounts._cache) == ["a", "c"]


def test_without_a_cache_nothing_is_cached_by_a_save_either(store: EventStore) -> None:
    accounts = Repository(store, Account, cache=0)
    accounts.retry("a", Account.create)
    accounts.retry("a", lambda account: account.deposit(1))
    assert not accounts._cache


@pytest.mark.parametrize("cached", [True, False])
def test_what_is_known_of_another_log_is_passed_over(store: EventStore, cached: bool) -> None:
    fill(store, 10)
    accounts = Repository(store, Account, snapshot_every=5)
    accounts.load("a")
    snapshot = store.redis.get(store.keys.snapshot("a"))
    store.drop()
    fill(store, 20, amount=100)
    store.redis.set(store.keys.snapshot("a"), snapshot)
    assert (accounts if cached else Repository(store, Account, snapshot_every=5)).load(
        "a"
    ).funds == 2000


class Lines(Aggregate):
    """Its attributes share a dict, and its table of methods is bound."""

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


def test_a_copy_hangs_together_as_its_original_does(store: EventStore) -> None:
    lines = Repository(store, Lines)
    store.append("a", [Event("line")], expected=0)
    lines.load("a")
    store.append("a", [Event("more")], expected=1)
    assert lines.load("a").lines == Repository(store, Lines).load("a").lines == [{"quantity": 2}]
    never_saved = lines.load("a")
    never_saved.record("more")
    assert lines.load("a").lines == [{"quantity": 2}]


# -------------------------------------------------------------------- snapshot


def test_a_snapshot_is_kept_at_the_nth_event_and_by_who_counts_from_it(store: EventStore) -> None:
    key = store.keys.snapshot("a")
    fill(store, 8)
    Repository(store, Account, snapshot_every=10).load("a")
    assert store.redis.get(key) is None
    store.append("a", [Event("deposit", {"amount": 1})], expected=9)
    Repository(store, Account, snapshot_every=10).load("a")
    kept = store.redis.get(key)
    assert kept is not None
    store.append("a", [Event("deposit", {"amount": 1})], expected=10)
    Repository(store, Account, snapshot_every=10).load("a")
    assert store.redis.get(key) == kept


def test_another_schema_of_the_same_shape_is_passed_over(store: EventStore) -> None:
    class Cents(Account):
        def apply(self, event: Any) -> None:
            self.funds += 100 * event.data.get("amount", 0)

    fill(store, 10)
    Repository(store, Account, snapshot_every=5).load("a")
    assert Repository(store, Cents, snapshot_every=5, schema=2).load("a").funds == 1000


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"[1,2]", b'[1,11,"1-1",[]]', b"\xff"])
def test_what_is_no_snapshot_is_passed_over_though_its_sum_is_right(
    store: EventStore, text: bytes
) -> None:
    fill(store, 10)
    store.redis.set(store.keys.snapshot("a"), zlib.crc32(text).to_bytes(4) + text)
    assert Repository(store, Account, snapshot_every=5).load("a").funds == 10


def test_a_state_that_would_come_back_as_another_kind_is_refused_by_name(store: EventStore) -> None:
    class Types(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.types: Counter[str] = Counter()

        def apply(self, event: Any) -> None:
            self.types[event.type] += 1

    store.append("a", [Event("x")], expected=0)
    with pytest.raises(InvalidEvent, match="snapshot"):
        Repository(store, Types, snapshot_every=1).load("a")


# ----------------------------------------------------------------------- retry


def test_pauses_are_random_and_grow_up_to_a_tenth_of_a_second(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float]] = []
    slept: list[float] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high / 2

    def overtaken(account: Account) -> None:
        raise VersionConflict(account.id, 0, 1)

    monkeypatch.setattr("eventlab.repository.random.uniform", uniform)
    monkeypatch.setattr("eventlab.repository.time.sleep", slept.append)
    with pytest.raises(VersionConflict):
        Repository(store, Account).retry("a", overtaken, tries=9)
    assert asked == [(0, high) for high in (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1, 0.1)]
    assert slept == [high / 2 for _, high in asked]


def test_a_request_that_was_done_is_not_decided_again(store: EventStore) -> None:
    decided = []

    def create(account: Account) -> None:
        decided.append(account.version)
        account.record("create")

    accounts = Repository(store, Account)
    assert accounts.retry("a", create, idempotency_key="k") == accounts.retry(
        "a", create, idempotency_key="k"
    )
    assert decided == [0]


@pytest.mark.parametrize("refuse", [True, False])
def test_a_twin_that_was_first_is_the_outcome_whatever_we_decide(
    store: EventStore, refuse: bool
) -> None:
    fill(store, 10)
    accounts, twin = Repository(store, Account), Repository(store, Account)
    first: list[Recorded] = []

    def late(account: Account) -> None:
        first.extend(twin.retry("a", lambda account: account.deposit(1), idempotency_key="k"))
        if refuse:
            raise CommandRejected("no")
        account.deposit(2)  # decided otherwise than the twin

    assert accounts.retry("a", late, idempotency_key="k") == first
    assert store.version("a") == 12


# ------------------------------------------------------------------ save, load


def test_meta_goes_with_each_event_of_a_save(store: EventStore) -> None:
    account = Account("a")
    account.create()
    account.deposit(1)
    Repository(store, Account).save(account, meta={"correlation_id": "c"})
    assert [event.meta for event in store.read("a")] == [{"correlation_id": "c"}] * 2


def test_an_event_is_stored_as_it_was_recorded(store: EventStore) -> None:
    class Tagged(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.tags: list[str] = []

        def apply(self, event: Any) -> None:
            if event.type == "tags":
                self.tags = event.data["tags"]
            else:
                self.tags.append(event.data["tag"])

    tagged = Tagged("a")
    tagged.record("tags", {"tags": ["x"]})
    tagged.record("tag", {"tag": "y"})
    Repository(store, Tagged).save(tagged)
    assert Repository(store, Tagged).load("a").tags == tagged.tags == ["x", "y"]


def test_a_version_and_a_time_are_both_bounds(redis_client: redis.Redis, category: str) -> None:
    times = iter([1000, 1000, 2000, 3000])
    store = EventStore(redis_client, category, clock=times.__next__)
    service = AccountService(store)
    service.create("a")
    for amount in (1, 2, 4):
        service.deposit("a", amount)
    at = {second: datetime.fromtimestamp(second, UTC) for second in (1, 2)}
    assert service.fetch("a", version=4, at=at[1]).funds == 1  # both events of the first second
    assert service.fetch("a", version=2, at=at[2]).funds == 1


# -------------------------------------------------------------------- upcaster


def renamed(event: Recorded) -> Recorded:
    return msgspec.structs.replace(event, type="deposit") if event.type == "paid_in" else event


def in_cents(event: Recorded) -> Recorded:
    euros = event.type == "deposit" and event.data.get("euros")
    return msgspec.structs.replace(event, data={"amount": 100 * euros}) if euros else event


def test_upcasters_lift_wherever_an_event_is_read(store: EventStore) -> None:
    old = [Event("create"), Event("paid_in", {"euros": 1}), Event("paid_in", {"euros": 2})]
    store.append("a", old, expected=0, token="t", idempotency_key="k", fingerprint="f")
    lifting = EventStore(store.redis, store.category, upcasters=[renamed, in_cents])
    lifted = lifting.read("a")
    assert [(event.type, event.data) for event in lifted[1:]] == [
        ("deposit", {"amount": 100}),
        ("deposit", {"amount": 200}),
    ]
    assert lifting.read("a", reverse=True) == lifted[::-1]
    assert list(lifting.read_all()) == lifted
    assert lifting.seen("a", "k") == lifted
    assert lifting.append("a", old, expected=0, idempotency_key="k", fingerprint="f") == lifted
    assert lifting.append("a", old, expected=0, token="t") == lifted  # known by its token
    accounts = Repository(lifting, Account, snapshot_every=2)
    assert accounts.load("a").funds == 300
    store.append("a", [Event("paid_in", {"euros": 3})], expected=3)
    assert accounts.load("a").funds == 600  # cache and tail
    assert (
        Repository(lifting, Account, snapshot_every=2).load("a").funds == 600
    )  # snapshot and tail


# -------------------------------------------------------------------- refusals


def refused_by(call: Callable[[], object]) -> CommandRejected:
    with pytest.raises(CommandRejected) as refused:
        call()
    return refused.value


@pytest.mark.parametrize("kind", ["exists", "funds", "amount", "money", "unknown", "versions"])
def test_each_refusal_is_repeated_to_the_letter(store: EventStore, kind: str) -> None:
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
    first = refused_by(calls[kind])
    service.withdraw("a", 1) if kind == "money" else service.create(
        "b"
    )  # now it might be decided otherwise
    again = refused_by(calls[kind])
    assert (type(again), str(again), vars(again)) == (type(first), str(first), vars(first))
    assert AccountService(store).fetch("a").version >= 2


def test_a_key_is_of_one_amount_and_a_fingerprint_of_the_caller_s_own_stands(
    store: EventStore,
) -> None:
    service = AccountService(store)
    service.create("a")
    service.deposit("a", 5, idempotency_key="k")
    with pytest.raises(IdempotencyKeyReused):
        service.deposit("a", 6, idempotency_key="k")
    first = service.deposit("a", 5, idempotency_key="own", fingerprint="mine")
    assert service.deposit("a", 6, idempotency_key="own", fingerprint="mine") == first
    with pytest.raises(IdempotencyKeyReused):  # refused, and the key is of another request
        store.reject("a", "k", CommandRejected("no"), fingerprint="withdraw 9")


def test_a_request_is_never_told_the_refusal_of_another(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = AccountService(store)
    service.create("a")
    plain = store.redis.execute_command
    left = iter(["first"])

    def cut(*args: Any, **options: Any) -> Any:
        answer = plain(*args, **options)
        if args[0] == "SET" and next(left, None):  # killed behind its first write
            raise redis.ConnectionError("cut")
        return answer

    monkeypatch.setattr(store.redis, "execute_command", cut)
    with pytest.raises(redis.ConnectionError):
        service.withdraw("a", 100, idempotency_key="k")
    try:
        first = refused_by(lambda: service.withdraw("a", 50, idempotency_key="k"))
    except IdempotencyKeyReused:
        return  # the first request has taken the key, as a whole
    assert str(refused_by(lambda: service.withdraw("a", 50, idempotency_key="k"))) == str(first)


def test_no_fingerprint_is_the_command(store: EventStore) -> None:
    service = AccountService(store)
    service.create("a")
    first = refused_by(lambda: service.withdraw("a", 5, idempotency_key="k", fingerprint=None))
    assert str(
        refused_by(lambda: service.withdraw("a", 5, idempotency_key="k", fingerprint=None))
    ) == str(first)


# ------------------------------------------------------------------- aggregate


def test_an_event_that_cannot_be_applied_is_not_recorded() -> None:
    account = Account("a")
    with pytest.raises(KeyError):
        account.record("deposit", {})
    assert (account.version, account.changes) == (0, [])


def test_a_nested_state_of_a_copy_is_its_own(store: EventStore) -> None:
    class Shelf(Aggregate):
        def __init__(self, id: str) -> None:
            super().__init__(id)
            self.counts: dict[str, dict[str, int]] = {"x": {"n": 0}}

        def apply(self, event: Any) -> None:
            self.counts["x"]["n"] += 1

    store.append("a", [Event("more")], expected=0)
    shelves = Repository(store, Shelf)
    shelves.load("a").record("more")
    shelves.load("a").record("more")  # the first was made, this one comes out of the cache
    assert shelves.load("a").counts == {"x": {"n": 1}}


def test_who_keeps_no_snapshots_reads_none(store: EventStore) -> None:
    class Cents(Account):
        def apply(self, event: Any) -> None:
            self.funds += 100 * event.data.get("amount", 0)

    fill(store, 10)
    Repository(store, Account, snapshot_every=5).load("a")
    assert Repository(store, Cents).load("a").funds == 1000
