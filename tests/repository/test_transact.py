"""One decision on several aggregates: what it reads and what it writes belongs together."""

from __future__ import annotations

from collections import Counter

import pytest

from eventlab import (
    CommandRejected,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidArgument,
    Recorded,
    Repository,
    VersionConflict,
    Write,
)
from eventlab.accounts import Account, InsufficientFunds
from eventlab.servers import connect
from tests.support.processes import forked
from tests.support.store import contents, deposits, fill

LIMIT = 100


def move(amount: int) -> object:
    """Return a decision that moves an amount from the first account to the second."""

    def decide(one: Account, two: Account, *_others: Account) -> None:
        one.withdraw(amount)
        two.deposit(amount)

    return decide


@pytest.fixture
def accounts(store: EventStore) -> Repository[Account]:
    """Three accounts with 10, 20 and 30."""
    for id, count in (("a", 10), ("b", 20), ("c", 30)):
        fill(store, count, id)
    return Repository(store, Account)


def funds(accounts: Repository[Account]) -> list[int]:
    return [accounts.load(id).funds for id in ("a", "b", "c")]


def test_transact_writes_what_changed_and_guards_the_rest(accounts: Repository[Account]) -> None:
    recorded = accounts.transact(["a", "b", "c"], move(4), meta={"by": "x"})
    assert [(e.id, e.version, e.type, e.meta) for log in recorded.values() for e in log] == [
        ("a", 12, "withdraw", {"by": "x"}),
        ("b", 22, "deposit", {"by": "x"}),
    ]
    assert funds(accounts) == funds(Repository(accounts.store, Account)) == [6, 24, 30]


@pytest.mark.parametrize("moved", ["a", "b", "c"])
def test_transact_decides_again_when_any_of_them_moved(
    accounts: Repository[Account], moved: str
) -> None:
    seen = []

    def decide(a: Account, b: Account, c: Account) -> None:
        if not seen:
            accounts.store.append(moved, deposits(1), expected=accounts.store.version(moved))
        seen.append([a.funds, b.funds, c.funds])
        move(4)(a, b)  # type: ignore[operator]

    accounts.transact(["a", "b", "c"], decide)
    again = [10, 20, 30]
    again["abc".index(moved)] += 1
    assert seen == [[10, 20, 30], again]


def test_transact_raises_the_conflict_after_its_last_try(accounts: Repository[Account]) -> None:
    store = accounts.store
    seen = []

    def overtaken(a: Account, b: Account) -> None:
        seen.append(a.version)
        b.deposit(1)
        store.append("a", deposits(1), expected=a.version)

    with pytest.raises(VersionConflict) as conflict:
        accounts.transact(["a", "b"], overtaken, tries=3)
    assert seen == [11, 12, 13]
    assert conflict.value.conflicts == {"a": (13, 14)}


@pytest.mark.parametrize("outcome", ["rejected", "nothing"])
def test_transact_decides_again_when_the_states_were_never_there_at_once(
    accounts: Repository[Account], outcome: str
) -> None:
    # The sum of a and b is always 30, but a is read before a transfer and b after it.
    store = accounts.store
    moves = iter([True])

    def load(id: str) -> Account:
        if id == "a" and next(moves, False):
            old = plain("a")
            Repository(store, Account).transact(["b", "a"], move(15))
            return old
        return plain(id)

    plain = accounts.load
    accounts.load = load  # type: ignore[method-assign, assignment]
    sums = []

    def decide(a: Account, b: Account) -> None:
        sums.append(a.funds + b.funds)
        if sums[-1] < 30:
            if outcome == "rejected":
                raise CommandRejected("money is missing")
            return
        b.deposit(1)

    assert accounts.transact(["a", "b"], decide)["b"][0].version == 23
    assert sums == [15, 30]


def test_transact_raises_a_rejection_and_writes_nothing(accounts: Repository[Account]) -> None:
    before = contents(accounts.store)
    with pytest.raises(InsufficientFunds):
        accounts.transact(["a", "b"], move(11))
    assert accounts.transact(["a", "b"], lambda a, b: None) == {}
    assert contents(accounts.store) == before
    assert funds(accounts) == [10, 20, 30]


@pytest.mark.parametrize("ids", [["a", "a"], ["a", "b", "a"]])
def test_transact_rejects_an_id_that_is_given_twice(
    accounts: Repository[Account], ids: list[str]
) -> None:
    with pytest.raises(InvalidArgument, match="duplicate id"):
        accounts.transact(ids, move(1))


def test_transact_repeats_nothing_under_an_idempotency_key(accounts: Repository[Account]) -> None:
    first = accounts.transact(["a", "b"], move(4), idempotency_key="k", fingerprint="f")
    calls: list[int] = []
    again = accounts.transact(
        ["a", "b"], lambda a, b: calls.append(1), idempotency_key="k", fingerprint="f"
    )
    assert again == first
    assert not calls
    with pytest.raises(IdempotencyKeyReused):
        accounts.transact(["a", "c"], move(4), idempotency_key="k", fingerprint="g")
    assert funds(accounts) == [6, 24, 30]


def test_transact_returns_what_a_duplicate_wrote_while_it_decided(
    accounts: Repository[Account],
) -> None:
    first: list[dict[str, list[Recorded]]] = []

    def decide(a: Account, b: Account) -> None:
        if not first:
            other = Repository(accounts.store, Account)
            first.append(other.transact(["a", "b"], move(10), idempotency_key="k"))
        move(10)(a, b)  # type: ignore[operator]

    assert accounts.transact(["a", "b"], decide, idempotency_key="k") == first[0]
    assert funds(accounts) == [0, 30, 30]


# ------------------------------------------------------------- two accounts and one limit


def sums(events: list[Recorded]) -> list[int]:
    """Return A + B after each event, in commit order."""
    balances: Counter[str] = Counter()
    found = []
    for event in events:
        sign = {"deposit": 1, "withdraw": -1}.get(event.type, 0)
        balances[event.id] += sign * event.data.get("amount", 0)
        found.append(balances["A"] + balances["B"])
    return found


def withdraw_above_limit(category: str, mine: str, other: str, tries: int) -> None:
    with connect() as lab:
        accounts = Repository(EventStore(lab.redis, category), Account)

        def decide(mine: Account, other: Account) -> None:
            if mine.funds and mine.funds + other.funds > LIMIT:
                mine.withdraw(1)
            else:
                mine.deposit(1)  # so that the sum stays where it matters

        for _ in range(tries):
            accounts.transact([mine, other], decide, tries=1000)


@pytest.mark.long
def test_two_processes_never_break_a_limit_over_two_accounts(store: EventStore) -> None:
    for id in ("A", "B"):
        store.append(id, [Event("create"), *deposits(LIMIT)], expected=0)
    processes = [
        forked(withdraw_above_limit, store.category, *ids, 2000) for ids in (("A", "B"), ("B", "A"))
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    after = sums(list(store.read_all())[4:])
    assert len(after) == 4000
    assert min(sums(list(store.read_all()))[3:]) == LIMIT


@pytest.mark.parametrize("guarded", [True, False])
def test_limit_over_two_accounts_is_broken_without_guards(store: EventStore, guarded: bool) -> None:
    # Both have seen A + B = LIMIT + 1, and each withdraws 1 from its own account.
    fill(store, LIMIT, "A")
    fill(store, 1, "B")
    versions = {id: store.version(id) for id in ("A", "B")}
    withdrawal = [Event("withdraw", {"amount": 1})]
    for mine, other in (("A", "B"), ("B", "A")):
        guards = {other: versions[other]} if guarded else {}
        writes = [Write(mine, withdrawal, expected=versions[mine])]
        if guarded and mine == "B":
            with pytest.raises(VersionConflict):
                store.commit(writes, guards=guards)
        else:
            store.commit(writes, guards=guards)
    assert sums(list(store.read_all()))[-1] == (LIMIT if guarded else LIMIT - 1)
