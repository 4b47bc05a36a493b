"""Commits: several aggregates at once, all or none, guarded by others that were only read."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlab import (
    ANY,
    EXISTS,
    NEW,
    CommandRejected,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidArgument,
    InvalidEvent,
    InvalidName,
    LogMissing,
    LogReplaced,
    NotAdopted,
    TokenReused,
    VersionConflict,
    Write,
)
from eventlab.lessons import lossy
from eventlab.servers import Lab
from tests.store.test_rights import without
from tests.support.examples import examples
from tests.support.store import append_deposits, contents, deposits, fill, write_original


def transfer(amount: int, *, a: int, b: int) -> list[Write]:
    """Return the writes that move money from ``a`` to ``b``, which are at these versions."""
    return [
        Write("a", [Event("withdraw", {"amount": amount})], expected=a),
        Write("b", deposits(amount), expected=b),
    ]


@pytest.fixture
def accounts(store: EventStore) -> EventStore:
    """A store in which a is at version 3, b at 2 and c at 1."""
    for id, count in (("a", 3), ("b", 2), ("c", 1)):
        append_deposits(store, id, count)
    return store


def test_commit_writes_several_aggregates_in_order(accounts: EventStore) -> None:
    head = accounts.head()
    writes = [
        *transfer(5, a=3, b=2),
        Write("new", [Event("create", {}, {"by": "x"}), *deposits(1)], expected=NEW),
    ]
    recorded = accounts.commit(writes, guards={"c": 1, "unknown": 0})
    assert list(recorded) == ["a", "b", "new"]
    assert [(e.id, e.version, e.type) for e in accounts.read_all(after=head)] == [
        ("a", 4, "withdraw"),
        ("b", 3, "deposit"),
        ("new", 1, "create"),
        ("new", 2, "deposit"),
    ]
    assert list(accounts.read_all(after=head)) == [e for log in recorded.values() for e in log]
    assert recorded == {
        "a": accounts.read("a", after=3),
        "b": accounts.read("b", after=2),
        "new": accounts.read("new"),
    }
    assert (
        len({event.position.partition("-")[0] for log in recorded.values() for event in log}) == 1
    )
    assert accounts.ids() == ["a", "b", "c", "new"]
    assert (accounts.version("c"), accounts.version("unknown")) == (1, 0)


@pytest.mark.parametrize("count", [1, 1000, 1001])
def test_commit_stores_whole_batches_at_time_0(
    redis_client: redis.Redis, category: str, count: int
) -> None:
    store = EventStore(redis_client, category, clock=lambda: 0)
    for version in (NEW, count):
        batch = deposits(*range(count))
        store.commit([Write("a", batch, version), Write("b", batch, version)])
    log = list(store.read_all())
    assert store.read("a") == [event for event in log if event.id == "a"]
    assert store.read("b") == [event for event in log if event.id == "b"]
    assert len(log) == 4 * count


# ---------------------------------------------------------------------------- conflicts


@pytest.mark.parametrize(
    ("versions", "guards", "moved"),
    [
        ((2, 2), {}, {"a": (2, 3)}),
        ((3, 9), {}, {"b": (9, 2)}),
        ((NEW, 1), {}, {"a": (0, 3), "b": (1, 2)}),
        ((3, 2), {"c": 0}, {"c": (0, 1)}),
        ((3, 2), {"unknown": 1, "c": 1}, {"unknown": (1, 0)}),
        ((4, 1), {"c": 2}, {"a": (4, 3), "b": (1, 2), "c": (2, 1)}),
    ],
)
def test_conflict_names_each_aggregate_that_moved_and_writes_nothing(
    accounts: EventStore,
    versions: tuple[int, int],
    guards: dict[str, int],
    moved: dict[str, tuple[int, int]],
) -> None:
    before = contents(accounts)
    with pytest.raises(VersionConflict) as conflict:
        accounts.commit(transfer(5, a=versions[0], b=versions[1]), guards=guards)
    assert conflict.value.conflicts == moved
    first = next(iter(moved))
    assert (conflict.value.id, conflict.value.expected, conflict.value.actual) == (
        first,
        *moved[first],
    )
    for id, (expected, actual) in moved.items():
        assert f"{id!r} is at version {actual}, expected {expected}" in str(conflict.value)
    assert contents(accounts) == before


def test_conflict_of_many_aggregates_has_a_short_sentence(store: EventStore) -> None:
    with pytest.raises(VersionConflict, match="and 97 more") as conflict:
        store.commit([Write(str(number), deposits(1), 1) for number in range(100)])
    assert len(conflict.value.conflicts) == 100
    assert len(str(conflict.value)) < 300


# ------------------------------------------------------------------------------ repeats


def test_commit_stores_once_when_a_reply_is_lost(
    lab: Lab, accounts: EventStore, tmp_path: Path
) -> None:
    path = accounts.redis.connection_pool.connection_kwargs["path"]
    with lossy(tmp_path / "p", path) as proxy, redis.Redis(unix_socket_path=proxy.path) as client:
        through = EventStore(client, accounts.category)
        through.version("a")
        proxy.lose(2, b"EVALSHA")
        recorded = through.commit(transfer(5, a=3, b=2), guards={"c": 1})
        assert proxy.lost == 2
    assert recorded == {"a": accounts.read("a", after=3), "b": accounts.read("b", after=2)}
    assert (accounts.version("a"), accounts.version("b")) == (4, 3)


def test_commit_with_the_same_token_returns_what_was_recorded(accounts: EventStore) -> None:
    first = accounts.commit(transfer(5, a=3, b=2), guards={"c": 1}, token="t")
    append_deposits(accounts, "b", 1)
    append_deposits(accounts, "c", 1)  # a guard that has moved since does not matter
    before = contents(accounts)
    assert accounts.commit(transfer(5, a=3, b=2), guards={"c": 1}, token="t") == first
    for others in (transfer(6, a=3, b=2), [transfer(5, a=3, b=2)[0], Write("c", deposits(5), 2)]):
        with pytest.raises(TokenReused):
            accounts.commit(others, token="t")
    assert contents(accounts) == before


def test_idempotency_key_of_a_commit_belongs_to_the_category(accounts: EventStore) -> None:
    first = accounts.commit(transfer(5, a=3, b=2), idempotency_key="k")
    before = contents(accounts)
    assert accounts.commit(transfer(5, a=4, b=3), idempotency_key="k") == first
    assert accounts.seen_commit("k") == first
    for call in (
        lambda: accounts.commit(transfer(6, a=4, b=3), idempotency_key="k"),
        lambda: accounts.commit([Write("c", deposits(5), 1)], idempotency_key="k"),
        lambda: accounts.seen_commit("k", fingerprint="other"),
    ):
        with pytest.raises(IdempotencyKeyReused):
            call()
    assert contents(accounts) == before
    assert accounts.seen("a", "k") is None
    assert accounts.seen_commit("l") is None
    assert 0 < accounts.redis.ttl(accounts.keys.idempotency(None, "k")) <= 86_400
    assert accounts.append("a", deposits(1), expected=4, idempotency_key="k")[0].version == 5


def test_rejection_is_the_outcome_of_a_commit_for_its_repeats(accounts: EventStore) -> None:
    for _ in range(2):
        with pytest.raises(CommandRejected, match="too poor"):
            accounts.reject_commit("k", CommandRejected("too poor"), fingerprint="f")
    with pytest.raises(CommandRejected, match="too poor"):
        accounts.commit(transfer(5, a=3, b=2), idempotency_key="k", fingerprint="f")
    assert accounts.version("a") == 3
    first = accounts.commit(transfer(5, a=3, b=2), idempotency_key="l", fingerprint="f")
    assert accounts.reject_commit("l", CommandRejected("late"), fingerprint="f") == first


# ----------------------------------------------------------------------- rejected input


@pytest.mark.parametrize(
    ("writes", "error", "words"),
    [
        ([], InvalidEvent, "has no events"),
        ([Write("a", [], 3)], InvalidEvent, "has no events"),
        ([Write("a", deposits(1), 3), Write("a", deposits(1), 4)], InvalidArgument, "'a' twice"),
        ([Write("c", deposits(1), 1)], InvalidArgument, "'c' twice"),
        ([Write("a", deposits(1), ANY)], InvalidArgument, "ANY"),
        ([Write("a", deposits(1), EXISTS)], InvalidArgument, "EXISTS"),
        ([Write("a", deposits(1), True)], InvalidArgument, "expected=True"),
        ([Write("a", deposits(1), -1)], InvalidArgument, "expected=-1"),
        ([Write("", deposits(1), 0)], InvalidName, "non-empty"),
        ([Write("a", deposits(1), 3), Write("b", [Event("x", {"id": 1})], 2)], InvalidEvent, "'b'"),
        ([Write("a", [Event("x", {"y": "z" * 1_048_577})], 3)], InvalidEvent, "limit"),
        ([Write("a", "text", 3)], InvalidEvent, "must be an Event"),
        ([Write("a", Event("x"), 3)], InvalidEvent, "list of events"),
        ([Write("a", None, 3), Write("b", deposits(1), 2)], InvalidEvent, "list of events"),
    ],
)
def test_commit_rejects_what_is_not_a_commit(
    accounts: EventStore, writes: list[Any], error: type[Exception], words: str
) -> None:
    before = contents(accounts)
    with pytest.raises(error, match=words):
        accounts.commit(writes, guards={"c": 1})
    assert contents(accounts) == before


def test_commit_rejects_a_guard_that_is_not_a_version(accounts: EventStore) -> None:
    with pytest.raises(InvalidArgument, match="EXISTS"):
        accounts.commit(transfer(5, a=3, b=2), guards={"c": EXISTS})  # type: ignore[dict-item]


# ---------------------------------------------------------- rights, and keys that are lost


@pytest.mark.parametrize("command", ["xadd", "rpush", "sadd", "set"])
def test_commit_without_a_permission_writes_nothing(accounts: EventStore, command: str) -> None:
    before = contents(accounts)
    writes = [Write("a", deposits(1), 3), Write("new", deposits(1), NEW)]
    with (
        without(accounts, command) as weak,
        pytest.raises(redis.ResponseError, match=r"commit needs permission|ACL failure"),
    ):
        weak.commit(writes, guards={"c": 1}, idempotency_key="k")
    assert contents(accounts) == before
    assert len(accounts.commit(writes, guards={"c": 1}, idempotency_key="k")) == 2


def test_commit_needs_only_the_permissions_that_it_uses(accounts: EventStore) -> None:
    with without(accounts, "sadd", "set") as weak:
        assert len(weak.commit(transfer(5, a=3, b=2), guards={"unknown": 0})) == 2


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_commit_writes_nothing_when_a_log_has_another_redis_type(
    store: EventStore, key: str
) -> None:
    store.redis.set(store.keys.log(key), "foreign")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.commit(transfer(5, a=0, b=0), guards={"c": 0}, idempotency_key="k")
    assert list(contents(store)) == [store.keys.log(key)]


@pytest.mark.parametrize("id", ["a", "b", "c"])
@pytest.mark.parametrize("pretend_new", [False, True])
def test_commit_refuses_an_aggregate_whose_log_was_evicted(
    accounts: EventStore, id: str, pretend_new: bool
) -> None:
    versions = {"a": 3, "b": 2, "c": 1}
    accounts.redis.delete(accounts.keys.log(id))
    before = contents(accounts)
    if pretend_new:
        versions[id] = 0
    with pytest.raises(LogMissing) as missing:
        accounts.commit(transfer(5, a=versions["a"], b=versions["b"]), guards={"c": versions["c"]})
    assert missing.value.id == id
    assert contents(accounts) == before


def test_commit_refuses_a_category_that_was_not_adopted(store: EventStore) -> None:
    write_original(store, ("a", 1, "create", {}))
    with pytest.raises(NotAdopted):
        store.commit(transfer(5, a=0, b=0))
    store.adopt()
    assert len(store.commit(transfer(5, a=1, b=0))) == 2


@pytest.mark.parametrize(("lost", "error"), [("stream", LogMissing), ("ids", NotAdopted)])
def test_commit_refuses_a_category_whose_other_keys_were_evicted(
    accounts: EventStore, lost: str, error: type[Exception]
) -> None:
    accounts.redis.delete(getattr(accounts.keys, lost))
    with pytest.raises(error):
        accounts.commit(transfer(5, a=3, b=2))


@pytest.mark.parametrize("replaced", ["a", "b"])
def test_commit_notices_a_log_that_was_written_again_to_the_same_version(
    redis_client: redis.Redis, category: str, replaced: str
) -> None:
    store = EventStore(redis_client, category, clock=lambda: 5000)
    fill(store, 1, "a")
    fill(store, 1, "b")
    known = {}
    for id in ("a", "b"):
        [page] = store.pages(id)
        known[id] = (page.events[-1].position, page.tokens[-1])
    known[replaced] = (known[replaced][0], "other")
    before = contents(store)
    # One is written to, the other one is a guard.
    writes = [Write("a", deposits(1), 2, known["a"]), Write("b", [], 2, known["b"])]
    with pytest.raises(LogReplaced) as error:
        store.commit(writes)
    assert error.value.id == replaced
    assert contents(store) == before


# -------------------------------------------------------------------------------- model


@settings(max_examples=examples(60), deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), min_size=1),  # events
            st.dictionaries(st.sampled_from("abc"), st.integers(-1, 1)),  # off by how much
        ),
        max_size=12,
    )
)
def test_commit_is_all_or_nothing_whatever_is_written(
    redis_client: redis.Redis, steps: list[tuple[dict[str, int], dict[str, int]]]
) -> None:
    store = EventStore(redis_client, f"test-commit-{uuid.uuid4().hex[:8]}")
    model: dict[str, int] = {}
    for counts, off in steps:
        expected = {id: max(0, model.get(id, 0) + off.get(id, 0)) for id in counts}
        wrong = {id for id in counts if expected[id] != model.get(id, 0)}
        writes = [
            Write(id, deposits(*range(count)), expected[id])
            for id, count in counts.items()
            if count
        ]
        guards = {id: expected[id] for id, count in counts.items() if not count}
        if not writes:
            continue
        if wrong:
            with pytest.raises(VersionConflict) as conflict:
                store.commit(writes, guards=guards)
            assert set(conflict.value.conflicts) == wrong
            continue
        store.commit(writes, guards=guards)
        for id, count in counts.items():
            model[id] = model.get(id, 0) + count
    assert {id: store.version(id) for id in model} == model
    log = list(store.read_all())
    for id in model:
        assert store.read(id) == [event for event in log if event.id == id]
    store.drop()


# ------------------------------------------------------------------------------- recipe


def register(store: EventStore, customer: str, name: str) -> None:
    """Register a customer under a name that nobody else may have: the name is an aggregate."""
    store.commit(
        [
            Write(customer, [Event("registered", {"name": name})], expected=NEW),
            Write(f"name:{name}", [Event("reserved", {"by": customer})], expected=NEW),
        ]
    )


def test_name_is_unique_by_reservation(store: EventStore) -> None:
    register(store, "c1", "anna")
    with pytest.raises(VersionConflict) as conflict:
        register(store, "c2", "anna")
    assert set(conflict.value.conflicts) == {"name:anna"}
    assert store.version("c2") == 0
    register(store, "c2", "bob")
    assert store.read("name:anna")[0].data == {"by": "c1"}
