"""A view of two categories: a position for each, committed together with its documents."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from eventlab import (
    CategoryMismatch,
    Changes,
    CheckpointMissing,
    Event,
    EventStore,
    InvalidArgument,
    JoinedProjector,
    Projector,
    Recorded,
    TrimRefused,
    VersionConflict,
    ViewAhead,
    ViewLate,
    ViewStopped,
    ViewVersionMismatch,
)
from eventlab.accounts import EventsByType
from eventlab.projections import checkpoint
from eventlab.projections.rebuild import Rebuild
from eventlab.servers import connect
from tests.support.killed_process import killed_at
from tests.support.processes import forked
from tests.support.waiting import wait_until


class Customers:
    """One document per customer: what is on the account, and how many mails there were."""

    def __init__(self, name: str, version: int = 1) -> None:
        self.name = name
        self.version = version

    def apply(self, event: Recorded, changes: Changes, category: str) -> None:
        if event.type == "bad":
            raise ValueError("no customer has such an event")
        customer = changes[event.id]
        customer.inc("mails" if category.endswith("-mails") else "funds", event.data["n"])
        customer.set("made_by", self.version)


@pytest.fixture
def accounts(redis_client: redis.Redis, category: str) -> Iterator[EventStore]:
    store = EventStore(redis_client, f"{category}-accounts")
    yield store
    store.drop()


@pytest.fixture
def mails(redis_client: redis.Redis, category: str) -> Iterator[EventStore]:
    store = EventStore(redis_client, f"{category}-mails")
    yield store
    store.drop()


@pytest.fixture
def joined(
    accounts: EventStore, mails: EventStore, mongo: Any, category: str, documents: Any
) -> Iterator[JoinedProjector]:
    with JoinedProjector([mails, accounts], mongo, Customers(category)) as joined:
        yield joined


def add(store: EventStore, count: int) -> None:
    """Append ``count`` events of 1, spread over three customers, who are in both categories."""
    for number in range(count):
        id = f"c{number % 3}"
        store.append(id, [Event("added", {"n": 1})], expected=store.version(id))


def expected(accounts: EventStore, mails: EventStore, version: int = 1) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for field, store in (("funds", accounts), ("mails", mails)):
        for id in store.ids():
            document = found.setdefault(id, {"_id": id, "made_by": version})
            document[field] = store.version(id)
    return [found[id] for id in sorted(found)]


def shown(documents: Any) -> list[dict[str, Any]]:
    return list(documents.find().sort("_id"))


def left_over(mongo: Any, name: str, *stores: EventStore) -> list[str]:
    groups = [
        group["name"].decode()
        for store in stores
        for group in store.redis.xinfo_groups(store.category)
    ]
    states = [state["_id"] for state in mongo.projections.find({"_id": {"$regex": name}})]
    return [n for n in [*mongo.list_collection_names(), *groups, *states] if ".rebuild-" in n]


def test_events_of_both_categories_count_once(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any, documents: Any
) -> None:
    add(accounts, 4)
    add(mails, 2)
    assert joined.catch_up() == 6
    assert joined.catch_up() == 0
    assert shown(documents) == expected(accounts, mails)
    add(mails, 5)
    with JoinedProjector([accounts, mails], mongo, Customers(joined.name)) as other:
        assert other.catch_up() == 5
    add(accounts, 1)
    assert joined.catch_up() == 1
    assert shown(documents) == expected(accounts, mails)


def test_one_document_holds_both_positions(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any
) -> None:
    add(accounts, 4)
    add(mails, 2)
    joined.catch_up()
    state = mongo.projections.find_one({"_id": joined.name})
    assert state["category"] == f"{accounts.category} + {mails.category}"
    assert [part["position"] for part in state["parts"]] == [accounts.head(), mails.head()]
    assert [part["event"]["id"] for part in state["parts"]] == ["c0", "c1"]


def test_batch_that_is_written_by_another_projector_counts_once(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any, documents: Any
) -> None:
    add(accounts, 3)
    add(mails, 3)
    joined.catch_up()
    with JoinedProjector([accounts, mails], mongo, Customers(joined.name)) as other:
        other.catch_up()
        add(mails, 1)
        assert joined.run_once() == 1
        add(accounts, 1)
        assert other.run_once() == 1  # its position of the mails was too early
        assert other.catch_up() == joined.catch_up() == 0
    assert shown(documents) == expected(accounts, mails)


def test_lag_and_wait_until_are_of_each_category(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector
) -> None:
    add(accounts, 4)
    joined.catch_up()
    add(mails, 2)
    lag = joined.lag()
    assert {category: each.events for category, each in lag.items()} == {
        accounts.category: 0,
        mails.category: 2,
    }
    joined.wait_until(accounts.category, "c0", 2, seconds=0.0)
    with pytest.raises(ViewLate):
        joined.wait_until(mails.category, "c0", 1, seconds=0.0)
    with pytest.raises(VersionConflict):
        joined.wait_until(mails.category, "c0", 2)
    with pytest.raises(InvalidArgument, match="does not follow category 'orders'"):
        joined.wait_until("orders", "c0", 1)
    joined.catch_up()
    joined.wait_until(mails.category, "c0", 1, seconds=0.0)


def test_event_that_cannot_be_applied_stops_the_view_and_can_be_skipped(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, documents: Any
) -> None:
    add(accounts, 3)
    add(mails, 2)
    bad = mails.append("c2", [Event("bad")], expected=0)[0]
    mails.append("c2", [Event("added", {"n": 2})], expected=1)
    with pytest.raises(ViewStopped, match=bad.position):
        joined.catch_up()
    with pytest.raises(InvalidArgument):
        joined.skip(accounts.category, bad.position)
    joined.skip(mails.category, bad.position)
    assert joined.catch_up() == 1
    assert shown(documents) == expected(accounts, mails)


def test_loss_in_one_category_is_noticed(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, documents: Any
) -> None:
    add(accounts, 3)
    add(mails, 3)
    joined.catch_up()
    mails.drop()
    add(mails, 1)
    with pytest.raises(ViewAhead):
        joined.catch_up()
    joined.rebuild(progress=False)
    assert shown(documents) == expected(accounts, mails)


def test_trim_waits_for_the_view_in_each_category(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector
) -> None:
    add(accounts, 3)
    add(mails, 3)
    joined.catch_up()
    for store in (accounts, mails):
        add(store, 2)
        with pytest.raises(TrimRefused, match=joined.name):
            store.trim(before=store.head())
    joined.catch_up()
    assert accounts.trim(before=accounts.head()) == mails.trim(before=mails.head()) == 4


def test_reset_begins_again(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, documents: Any
) -> None:
    add(accounts, 3)
    add(mails, 3)
    joined.catch_up()
    joined.reset()
    assert shown(documents) == []
    assert accounts.redis.xinfo_groups(accounts.category) == []
    assert mails.redis.xinfo_groups(mails.category) == []
    assert joined.catch_up() == 6


def test_run_follows_both_categories(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, documents: Any
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=joined.run, args=(stop,))
    thread.start()
    try:
        for store in (accounts, mails, accounts, mails):
            add(store, 3)
            wait_until(lambda: shown(documents) == expected(accounts, mails))
    finally:
        stop.set()
        thread.join()


# -------------------------------------------------------------------- categories


def test_stores_must_be_of_two_or_more_categories(
    accounts: EventStore, mails: EventStore, mongo: Any, category: str
) -> None:
    for stores in ([], [mails], [mails, mails], [mails, accounts, mails]):
        with pytest.raises(InvalidArgument, match="two or more"):
            JoinedProjector(stores, mongo, Customers(category))


def test_foreign_category_is_noticed(
    accounts: EventStore,
    mails: EventStore,
    store: EventStore,
    joined: JoinedProjector,
    mongo: Any,
    documents: Any,
) -> None:
    add(accounts, 3)
    add(mails, 3)
    add(store, 1)
    joined.catch_up()
    before = shown(documents)
    follows = rf"follows category '{accounts.category} \+ {mails.category}', not '"
    with (
        Projector(mails, mongo, EventsByType(joined.name)) as one,
        JoinedProjector([mails, store], mongo, Customers(joined.name)) as other,
        JoinedProjector([mails, accounts, store], mongo, Customers(joined.name)) as more,
    ):
        for foreign in (one, other, more):
            for call in (
                foreign.run_once,
                foreign.lag,
                lambda f=foreign: f.rebuild(progress=False),
            ):
                with pytest.raises(CategoryMismatch, match=follows):
                    call()
    assert shown(documents) == before


def test_view_of_one_category_is_not_joined_with_another(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any
) -> None:
    add(mails, 3)
    with Projector(mails, mongo, EventsByType(joined.name)) as one:
        one.catch_up()
        with pytest.raises(CategoryMismatch, match=f"follows category '{mails.category}'"):
            joined.run_once()
        # As an earlier release left it:
        mongo.projections.update_one(
            {"_id": joined.name}, {"$unset": {"category": 1, "version": 1}}
        )
        with pytest.raises(CheckpointMissing):
            joined.run_once()


@pytest.mark.parametrize("first", ["one", "joined"])
def test_view_that_two_kinds_of_projectors_have_read_belongs_to_the_first_that_counts(
    accounts: EventStore,
    mails: EventStore,
    joined: JoinedProjector,
    mongo: Any,
    documents: Any,
    first: str,
) -> None:
    with Projector(mails, mongo, EventsByType(joined.name)) as one:
        one.run_once()
        joined.run_once()
        assert one.run_once() == 0  # nothing was counted: it may be of either
        add(mails, 2)
        add(accounts, 2)
        winner, loser = (one, joined) if first == "one" else (joined, one)
        assert winner.run_once() == (2 if first == "one" else 4)
        before = shown(documents)
        with pytest.raises(CategoryMismatch):
            loser.catch_up()
        assert shown(documents) == before


def test_categories_whose_names_contain_a_plus_sign_are_distinguished(
    redis_client: redis.Redis, category: str, mongo: Any, documents: Any
) -> None:
    a, b, c = (f"{category}-{letter}" for letter in "abc")

    def stores(*names: str) -> list[EventStore]:
        return [EventStore(redis_client, name) for name in names]

    mine = stores(f"{a} + {b}", c)
    for store in mine:
        add(store, 2)
    view = Customers(category)
    with JoinedProjector(mine, mongo, view) as joined:
        joined.catch_up()
        before = shown(documents)
        [whole] = stores(f"{a} + {b} + {c}")
        with (
            JoinedProjector(stores(a, f"{b} + {c}"), mongo, view) as other,
            Projector(whole, mongo, EventsByType(category)) as one,
        ):
            for foreign in (other, one):
                with pytest.raises(CategoryMismatch):
                    foreign.run_once()
        assert shown(documents) == before
        joined.reset()
    for store in mine:
        store.drop()


def test_view_that_joins_of_different_categories_have_read_belongs_to_the_one_that_counts(
    accounts: EventStore, mails: EventStore, store: EventStore, joined: JoinedProjector, mongo: Any
) -> None:
    assert joined.run_once() == 0
    more = JoinedProjector([accounts, mails, store], mongo, Customers(joined.name))
    add(accounts, 2)
    add(store, 1)
    with more:
        assert more.run_once() == 3
    with pytest.raises(CategoryMismatch):
        joined.catch_up()


# ---------------------------------------------------------- rebuilds and versions


def test_rebuild_replaces_the_documents_of_both_categories(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any, documents: Any
) -> None:
    add(accounts, 7)
    add(mails, 5)
    joined.catch_up()
    accounts.trim(before=accounts.head())
    documents.update_many({}, {"$inc": {"funds": 70, "mails": 70}})
    documents.create_index("funds", name="by funds")
    assert joined.rebuild(progress=False) == 12
    assert shown(documents) == expected(accounts, mails)
    assert documents.index_information().keys() == {"_id_", "by funds"}
    add(accounts, 2)
    add(mails, 1)
    assert joined.catch_up() == 3
    assert shown(documents) == expected(accounts, mails)
    assert left_over(mongo, joined.name, accounts, mails) == []


def test_events_during_a_rebuild_are_counted_once(
    accounts: EventStore,
    mails: EventStore,
    joined: JoinedProjector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(accounts, 3)
    joined.catch_up()
    plain = Rebuild._swap
    with JoinedProjector([accounts, mails], mongo, Customers(joined.name)) as other:

        def append_first(rebuild: Rebuild) -> bool:
            assert len(left_over(mongo, joined.name, accounts)) == 3  # also a group: it holds trims
            add(accounts, 1)
            add(mails, 2)
            assert other.catch_up() == 3
            add(mails, 1)
            return plain(rebuild)

        monkeypatch.setattr(Rebuild, "_swap", append_first)
        joined.rebuild(progress=False)
        assert other.catch_up() == 0
    assert shown(documents) == expected(accounts, mails)


def test_trim_waits_for_a_running_rebuild_in_each_category(
    accounts: EventStore,
    mails: EventStore,
    joined: JoinedProjector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(accounts, 2)
    add(mails, 2)
    joined.catch_up()
    plain = Rebuild.catch_up
    unchecked = [accounts, mails]

    def trim_first(rebuild: Rebuild) -> int:
        while unchecked:
            store = unchecked.pop()
            with pytest.raises(TrimRefused, match="rebuild"):
                store.trim(before=store.head())
        return plain(rebuild)

    monkeypatch.setattr(Rebuild, "catch_up", trim_first)
    assert joined.rebuild(progress=False) == 4
    assert unchecked == []


def test_both_positions_are_shown_after_the_swap(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector
) -> None:
    for store in (accounts, mails):
        add(store, 2)
    joined.rebuild(progress=False)
    for store in (accounts, mails):
        add(store, 2)
        with pytest.raises(TrimRefused, match=joined.name):
            store.trim(before=store.head())


def test_newer_version_replaces_the_documents_of_both_categories(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, mongo: Any, documents: Any
) -> None:
    add(accounts, 7)
    add(mails, 9)
    joined.catch_up()
    view = Customers(joined.name, version=2)
    with JoinedProjector([accounts, mails], mongo, view, batch_size=2) as newer:
        assert newer.run_once() == 4
        assert {category: lag.events for category, lag in newer.lag().items()} == {
            accounts.category: 5,
            mails.category: 7,
        }
        add(accounts, 1)
        assert joined.catch_up() == 1
        assert shown(documents) == expected(accounts, mails)
        newer.catch_up()
        assert shown(documents) == expected(accounts, mails, version=2)
        with pytest.raises(ViewVersionMismatch):
            joined.lag()
    assert left_over(mongo, joined.name, accounts, mails) == []


# ------------------------------------------------------------------------- killed


def _stores(lab: Any, category: str) -> list[EventStore]:
    return [EventStore(lab.redis, f"{category}-{kind}") for kind in ("accounts", "mails")]


def _rebuild(category: str, version: int) -> None:
    checkpoint.FENCE_SECONDS = 0.05
    with (
        connect() as lab,
        JoinedProjector(
            _stores(lab, category), lab.mongo, Customers(category, version)
        ) as projector,
    ):
        projector.catch_up()
        projector.rebuild(progress=False)


@pytest.mark.crash
def test_joined_view_is_whole_when_it_is_killed_between_any_two_steps(
    accounts: EventStore,
    mails: EventStore,
    joined: JoinedProjector,
    mongo: Any,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "FENCE_SECONDS", 0.05)
    for step in itertools.count(1, 7):  # before a command, or after it
        add(accounts, 2)
        add(mails, 1)
        killed = killed_at(step, _rebuild, joined.name, 1)
        add(mails, 1)
        joined._forget_position()  # read it again, as after a crash
        joined.catch_up()
        assert shown(documents) == expected(accounts, mails)
        if not killed:
            break
    assert step > 60
    joined.rebuild(progress=False)
    assert left_over(mongo, joined.name, accounts, mails) == []


def _project(category: str) -> None:
    with (
        connect() as lab,
        JoinedProjector(
            _stores(lab, category), lab.mongo, Customers(category), batch_size=7
        ) as projector,
    ):
        projector.run(threading.Event(), poll_interval=0.05)


@pytest.mark.crash
def test_joined_view_is_exact_when_projectors_are_killed_while_events_arrive(
    accounts: EventStore, mails: EventStore, joined: JoinedProjector, documents: Any
) -> None:
    chance = random.Random(7)
    processes: list[Any] = [None] * 3
    try:
        for number in range(24):
            at = number % 3
            if processes[at] is not None:
                processes[at].kill()
                processes[at].join()
            processes[at] = forked(_project, joined.name)
            processes[at].start()
            add(accounts, chance.randrange(30))
            add(mails, chance.randrange(30))
        wait_until(lambda: shown(documents) == expected(accounts, mails))
    finally:
        for process in filter(None, processes):
            process.kill()
            process.join()
    joined.catch_up()
    assert shown(documents) == expected(accounts, mails)
