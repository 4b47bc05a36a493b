"""A category in 64 slices: its keys, its number of slices, and every call of a store."""

from __future__ import annotations

import threading
import types
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from pymongo.database import Database

from eventlab import (
    ANY,
    NEW,
    CommandRejected,
    EventStore,
    InvalidArgument,
    InvalidName,
    NotSettled,
    Projector,
    Repository,
    SlicesMismatch,
    Subscription,
    TrimRefused,
    VersionConflict,
    Write,
)
from eventlab.accounts import Account, AccountService, AccountView
from eventlab.slices.projector import SlicedProjector
from eventlab.slices.store import SlicedStore, stored_slices
from eventlab.slices.subscription import SlicedSubscription
from eventlab.store.keys import order
from eventlab.store.slices import slice_number
from tests.support.store import deposits, fill

IDS = [f"account{number}" for number in range(200)]


@pytest.fixture
def sliced(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category, slices=64)


@pytest.fixture
def filled(sliced: EventStore) -> EventStore:
    for id in IDS:
        fill(sliced, 2, id)
    return sliced


def all_keys(store: EventStore) -> set[bytes]:
    return set(store.redis.scan_iter(match=f"*{store.category}*", count=1000))


def test_number_of_slices_decides_the_class_however_the_store_is_given(
    sliced: EventStore, mongo: Database[dict[str, Any]]
) -> None:
    view = AccountView(sliced.category)
    assert type(Projector(store=sliced, mongo=mongo, view=view)) is SlicedProjector
    assert type(Subscription(store=sliced, name="letters", consumer="a")) is SlicedSubscription
    assert type(sliced) is SlicedStore
    with pytest.raises(TypeError, match="store"):
        Projector(mongo=mongo, view=view)  # type: ignore[call-arg]


def test_subclass_of_a_store_may_have_its_own_constructor(sliced: EventStore) -> None:
    class Configured(EventStore):
        def __init__(self, config: types.SimpleNamespace) -> None:
            super().__init__(config.redis, config.category)

    config = types.SimpleNamespace(redis=sliced.redis, category=sliced.category, slices="many")
    assert type(Configured(config)) is Configured


def test_slices_have_a_stream_each_in_the_slot_of_its_logs(filled: EventStore) -> None:
    keys = all_keys(filled)
    for id in IDS:
        number = zlib.crc32(id.encode()) % 64
        assert b"{%b#%d}:%b" % (filled.category.encode(), number, id.encode()) in keys
        assert b"{%b#%d}" % (filled.category.encode(), number) in keys
        assert slice_number(id) == number
    assert filled.category.encode() not in keys
    assert {filled.slice_of(id).category for id in IDS} == {
        f"{filled.category}#{number}" for number in range(64)
    }
    tags = {key[1 : key.index(b"}")] for key in keys}
    slots = {filled.redis.keyslot(tag) if hasattr(filled.redis, "keyslot") else tag for tag in tags}
    assert len(slots) == 65  # the slices, and the record of their number


def test_slice_is_that_of_the_part_before_the_first_slash() -> None:
    assert slice_number("customer7/a") == slice_number("customer7/b/c") == slice_number("customer7")
    assert slice_number("/a") == slice_number("/b") == 0
    with pytest.raises(InvalidName):
        slice_number("")


@pytest.mark.parametrize("number", [0, 2, 63, 65, -64, True, "64", 64.0, None])
def test_other_numbers_of_slices_are_rejected(
    redis_client: redis.Redis, category: str, number: int
) -> None:
    with pytest.raises(InvalidArgument, match="must be 1 or 64"):
        EventStore(redis_client, category, slices=number)


def test_category_that_is_named_like_a_slice_is_rejected(redis_client: redis.Redis) -> None:
    for name in ("accountStream#7", "#0", "a#b#64"):
        with pytest.raises(InvalidName, match="which is reserved for slices"):
            EventStore(redis_client, name)
    for name in ("accountStream#", "a#7b", "#", "a7"):
        assert EventStore(redis_client, name).category == name


CALLS: list[Callable[[EventStore], object]] = [
    lambda store: store.append("new", deposits(1), expected=NEW),
    lambda store: store.append("account1", deposits(1), expected=ANY),
    lambda store: store.append("account1", deposits(1), expected=NEW, idempotency_key="k"),
    lambda store: store.commit([Write("new", deposits(1), NEW)]),
    lambda store: store.read("account1"),
    lambda store: store.version("account1"),
    lambda store: list(store.pages("account1")),
    lambda store: list(store.read_all()),
    lambda store: store.ids(),
    lambda store: store.head(),
    lambda store: store.verify(),
    lambda store: store.drop(),
    lambda store: AccountService(store).deposit("account1", 1),
    lambda store: Subscription(store, "letters", consumer="c").receive(),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("made", "asked"), [(1, 64), (64, 1)])
def test_store_with_another_number_of_slices_is_rejected(
    redis_client: redis.Redis,
    category: str,
    made: int,
    asked: int,
    call: Callable[[EventStore], object],
) -> None:
    store = EventStore(redis_client, category, slices=made)
    fill(store, 2, "account1")
    before = {key: redis_client.dump(key) for key in all_keys(store)}
    with pytest.raises(SlicesMismatch, match=f"created with slices={made}") as caught:
        call(EventStore(redis_client, category, slices=asked))
    assert (caught.value.category, caught.value.slices) == (category, made)
    assert {key: redis_client.dump(key) for key in all_keys(store)} == before
    assert stored_slices(redis_client, category) == made


def test_number_of_slices_is_decided_by_one_of_two_first_appends(
    redis_client: redis.Redis, category: str
) -> None:
    for attempt in range(50):
        name = f"{category}-{attempt}"
        together = threading.Barrier(2)

        def write(slices: int, name: str = name, together: threading.Barrier = together) -> bool:
            store = EventStore(redis_client, name, slices=slices)
            together.wait()
            try:
                store.append("a", deposits(1), expected=NEW)
            except SlicesMismatch:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(write, (1, 64))) == [False, True]


def test_append_that_was_interrupted_between_the_records_is_repeated(
    redis_client: redis.Redis, category: str, sliced: EventStore
) -> None:
    redis_client.set(f"{{{category}}}/slices", 64)  # and then the process was killed
    sliced.append("a", deposits(1), expected=NEW)
    assert sliced.version("a") == 1


def test_append_is_one_round_trip(filled: EventStore) -> None:
    with filled.redis.monitor() as monitor:
        seen = monitor.listen()
        filled.append("account1", deposits(1), expected=3)
        filled.redis.ping()
        sent = []
        for each in seen:
            if each["command"] == "PING":
                break
            if each["client_type"] != "lua":
                sent.append(each["command"].split()[0])
    assert sent == ["EVALSHA"]


def test_calls_about_one_aggregate_work(sliced: EventStore) -> None:
    first = sliced.append("a", deposits(1, 2), expected=NEW, token="t", idempotency_key="k")
    assert sliced.append("a", deposits(1, 2), expected=NEW, token="t") == first
    assert sliced.seen("a", "k") == first == sliced.read("a")
    assert sliced.read("a", reverse=True) == first[::-1]
    assert [event for page in sliced.pages("a", after=1) for event in page.events] == first[1:]
    with pytest.raises(VersionConflict):
        sliced.append("a", deposits(1), expected=NEW)
    with pytest.raises(CommandRejected, match="no money"):
        sliced.reject("b", "k", CommandRejected("no money"), fingerprint="f")
    with pytest.raises(CommandRejected, match="no money"):
        sliced.seen("b", "k")
    assert (sliced.version("a"), sliced.version("b"), sliced.ids()) == (2, 0, ["a"])
    assert not sliced.slice_of("a").lacks(first[0].position)
    assert not sliced.lacks(first[0].position)
    assert sliced.lacks("1-0")


def test_category_is_read_by_time(filled: EventStore) -> None:
    found = list(filled.read_all())
    assert len(found) == 3 * len(IDS)
    assert [order(e.position) for e in found] == sorted(order(e.position) for e in found)
    assert filled.head() == found[-1].position
    assert list(filled.read_all(limit=10)) == found[:10]
    after = found[300].position
    rest = [event for event in found if order(event.position) > order(after)]
    assert list(filled.read_all(after=after)) == rest
    assert filled.ids() == sorted(IDS)
    assert filled.verify() == []
    for id in IDS:
        mine = [event for event in found if event.id == id]
        assert [event.version for event in mine] == [1, 2, 3]


def test_commit_needs_one_slice(sliced: EventStore) -> None:
    together = ["customer7/a", "customer7/b"]
    assert slice_number("a") != slice_number("b")
    done = sliced.commit([Write(id, deposits(1), NEW) for id in together], idempotency_key="k")
    assert {id: sliced.read(id) for id in together} == done
    assert sliced.seen_commit("k", ids=together) == done
    for writes, guards in (
        ([Write("a", deposits(1), NEW), Write("b", deposits(1), NEW)], {}),
        ([Write("a", deposits(1), NEW)], {"b": 0}),
    ):
        with pytest.raises(InvalidArgument, match="must be in the same slice"):
            sliced.commit(writes, guards=guards)
    for call in (sliced.seen_commit, lambda key: sliced.reject_commit(key, None, fingerprint="f")):
        with pytest.raises(InvalidArgument, match="pass the ids of"):
            call("k")
    assert sliced.ids() == together


def test_transfer_counts_once_within_a_slice(sliced: EventStore) -> None:
    accounts = AccountService(sliced)
    for id in ("bank/a", "bank/b"):
        accounts.create(id)
        accounts.deposit(id, 50)
    for _ in range(2):
        accounts.transfer("bank/a", "bank/b", 20, idempotency_key="k")
    repository = Repository(sliced, Account, snapshot_every=1)
    assert [repository.load(id).funds for id in ("bank/a", "bank/b")] == [30, 70]
    for _ in range(2):
        with pytest.raises(CommandRejected):
            accounts.transfer("bank/a", "bank/b", 200, idempotency_key="l")


def test_snapshots_are_in_the_slice_of_their_aggregate(sliced: EventStore) -> None:
    fill(sliced, 5, "a")
    repository = Repository(sliced, Account, snapshot_every=1)
    assert repository.load("a").funds == 5
    assert sliced.redis.exists(sliced.slice_of("a").keys.snapshot("a"))
    assert Repository(sliced, Account, snapshot_every=1).load("a").funds == 5
    repository.drop_snapshots()
    assert not sliced.redis.exists(sliced.slice_of("a").keys.snapshot("a"))


def test_trim_works_on_all_slices_unless_a_group_needs_one(filled: EventStore) -> None:
    part = filled.slice_of("account5")
    part.redis.xgroup_create(part.keys.stream, "letters", "0-0")
    with pytest.raises(TrimRefused, match="letters"):
        filled.trim(before=f"{order(filled.head())[0] + 1}-0")
    assert filled.forget_group("letters")
    assert not filled.forget_group("letters")
    left = sum(filled.redis.xlen(part.keys.stream) for part in filled.all_slices())
    assert filled.trim(before=f"{order(filled.head())[0] + 1}-0") == left > 0
    assert [event.version for event in filled.read("account5")] == [1, 2, 3]


def test_settle_waits_for_the_slices_of_events(filled: EventStore) -> None:
    filled.settle()
    events = filled.read("account5") + filled.read("account6")
    filled.settle(events)
    lost = filled.slice_of("account6").keys
    filled.redis.delete(lost.stream, lost.ids, lost.log("account6"))
    for given in (events, events[::-1]):
        with pytest.raises(NotSettled, match="'account6' was lost"):
            filled.settle(given, disk=0)


def test_wait_ends_at_an_event_of_any_slice(filled: EventStore) -> None:
    head = filled.head()
    filled.wait(after="0-0", seconds=60)
    writer = threading.Timer(0.05, fill, (filled, 1, "new"))
    writer.start()
    filled.wait(after=f"{order(head)[0]}-{2**63}", seconds=60)
    writer.join()
    assert filled.version("new") == 2


def test_drop_deletes_all_slices_and_nothing_else(
    redis_client: redis.Redis, filled: EventStore, category: str
) -> None:
    others = [EventStore(redis_client, f"{category}{more}") for more in ("#1x", "#", "2")]
    for other in others:
        fill(other, 2, "account1")
    filled.drop()
    assert filled.ids() == []
    assert all(other.read("account1") for other in others)
    for other in others:
        other.drop()
    assert all_keys(filled) == set()
    fill(EventStore(redis_client, category), 1, "a")  # now it may be made with one slice


def test_slices_of_another_program_are_not_adopted(filled: EventStore) -> None:
    with pytest.raises(InvalidArgument, match="adopt it with"):
        filled.adopt()


@pytest.fixture
def clocked(redis_client: redis.Redis, category: str) -> EventStore:
    ticks = iter(range(5000, 6000))
    return EventStore(redis_client, category, slices=64, clock=lambda: next(ticks))


def test_slices_share_the_clock_and_the_upcasters_of_their_store(clocked: EventStore) -> None:
    for id in ("a", "b"):
        clocked.append(id, deposits(1), expected=NEW)
    assert [event.position for event in clocked.read_all()] == ["5000-0", "5001-0"]
