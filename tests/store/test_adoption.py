"""Streams that the original wrote are read, adopted and continued; broken ones are refused at their place."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from eventlab import NEW, AdoptionRefused, CorruptEvent, Event, EventStore, NotAdopted
from eventlab.accounts import AccountService
from eventlab.servers import connect
from tests.support.killed_process import killed_at


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


def write(store: EventStore, *events: tuple[str, int, str, dict[str, Any]]) -> None:
    """What the original writes: XADD of one JSON field, at times of its own."""
    for place, (id, version, type, data) in enumerate(events):
        entry = {
            "event": json.dumps(
                {"id": id, "version": version, "type": type} | data, separators=(",", ":")
            )
        }
        store.redis.xadd(store.category, entry, id=f"{1551312621884 + place}-0")


GOOD = [
    ("JohnDoe", 1, "create", {}),
    ("Jane", 1, "create", {}),
    ("JohnDoe", 2, "deposit", {"amount": 100}),
    ("Jane", 2, "deposit", {"amount": 7}),
    ("JohnDoe", 3, "withdraw", {"amount": 40}),
]


def test_a_good_stream_is_read_adopted_and_continued(store: EventStore) -> None:
    write(store, *GOOD)
    before = store.redis.xrange(store.category)
    assert [(e.id, e.version, e.type, e.data) for e in store.read_all()] == GOOD
    assert store.adopt() == 5
    assert store.redis.xrange(store.category) == before
    service = AccountService(store)
    assert (service.fetch("JohnDoe").funds, service.fetch("Jane").funds) == (60, 7)
    assert service.deposit("JohnDoe", 1).version == 4
    assert sorted([*store.read("JohnDoe"), *store.read("Jane")], key=lambda e: e.position) == list(
        store.read_all()
    )
    assert store.ids() == ["Jane", "JohnDoe"]


def test_until_then_the_store_does_not_pretend_to_be_empty(store: EventStore) -> None:
    write(store, *GOOD)
    for call in (
        lambda: store.append("JohnDoe", [Event("deposit", {"amount": 1})], expected=3),
        lambda: store.append("New", [Event("create")], expected=NEW),
        lambda: store.read("JohnDoe"),
        lambda: store.version("JohnDoe"),
        store.ids,
    ):
        with pytest.raises(NotAdopted, match="adopt"):
            call()
    assert store.redis.xlen(store.category) == 5


def test_it_can_be_repeated_and_takes_what_came_since(store: EventStore) -> None:
    write(store, *GOOD[:3])
    assert store.adopt() == 3
    assert store.adopt() == 3
    store.redis.xadd(
        store.category, {"event": '{"id":"Jane","version":2,"type":"deposit","amount":7}'}
    )
    store.redis.xadd(store.category, {"event": '{"id":"Jim","version":1,"type":"create"}'})
    assert store.adopt() == 5
    assert (store.version("Jane"), store.ids()) == (2, ["Jane", "Jim", "JohnDoe"])


def test_our_own_category_can_be_adopted_as_well(store: EventStore) -> None:
    recorded = store.append("a", [Event("x"), Event("y", {}, {"m": 1})], expected=NEW)
    assert store.adopt() == 2
    assert store.read("a") == recorded


DOUBLED = [
    *GOOD[:3],
    ("JohnDoe", 2, "deposit", {"amount": 5}),
    ("JohnDoe", 3, "withdraw", {"amount": 1}),
]
GAP = [*GOOD[:2], ("JohnDoe", 3, "withdraw", {"amount": 1})]
LATE = [("JohnDoe", 2, "deposit", {"amount": 1})]


@pytest.mark.parametrize(
    ("events", "place", "version", "expected", "word"),
    [(DOUBLED, 3, 2, 3, "duplicate"), (GAP, 2, 3, 2, "missing"), (LATE, 0, 2, 1, "missing")],
)
def test_a_broken_stream_is_refused_with_its_place(
    store: EventStore, events: list[Any], place: int, version: int, expected: int, word: str
) -> None:
    write(store, *events)
    with pytest.raises(AdoptionRefused, match=word) as refused:
        store.adopt()
    error = refused.value
    assert (error.position, error.id) == (f"{1551312621884 + place}-0", "JohnDoe")
    assert (error.version, error.expected) == (version, expected)
    assert list(store.redis.scan_iter(match=store.keys.pattern())) == []
    with pytest.raises(NotAdopted):
        store.append("JohnDoe", [Event("create")], expected=NEW)


@pytest.mark.parametrize("events", [DOUBLED, GAP, LATE])
def test_renumbering_counts_anew_in_the_stream_too(store: EventStore, events: list[Any]) -> None:
    write(store, *events)
    store.redis.xgroup_create(store.category, "accountStreamGroup", id="1551312621884-0")
    assert store.adopt(renumber=True) == len(events)
    own = store.read("JohnDoe")
    assert [event.version for event in own] == list(range(1, len(own) + 1))
    assert [event for event in store.read_all() if event.id == "JohnDoe"] == own
    assert [event.data for event in own] == [data for id, _, _, data in events if id == "JohnDoe"]
    assert [event.position for event in store.read_all()] == [
        f"{1551312621884 + n}-0" for n in range(len(events))
    ]
    [group] = store.redis.xinfo_groups(store.category)
    assert (group["name"], group["last-delivered-id"]) == (
        b"accountStreamGroup",
        b"1551312621884-0",
    )


def test_renumbering_does_not_take_work_from_a_group(store: EventStore) -> None:
    write(store, *DOUBLED)
    store.redis.xgroup_create(store.category, "busy", id="0")
    store.redis.xreadgroup("busy", "c", {store.category: ">"}, count=1)
    with pytest.raises(AdoptionRefused, match="busy"):
        store.adopt(renumber=True)
    assert len(store.redis.xrange(store.category)) == len(DOUBLED)


@pytest.mark.parametrize(
    "fields",
    [{"other": "x"}, {"event": "{"}, {"event": '{"id":"a","type":"x"}'}, {"event": '{"id":5,"version":1,"type":"x"}'},
     {"event": '{"id":"","version":1,"type":"x"}'}, {"event": "[]"}, {"event": '{"id":"a","version":true,"type":"x"}'}],
)  # fmt: skip
def test_an_entry_that_is_no_event_is_named(store: EventStore, fields: dict[str, str]) -> None:
    write(store, *GOOD)
    position = store.redis.xadd(store.category, fields).decode()
    with pytest.raises(CorruptEvent) as corrupt:
        store.adopt()
    assert corrupt.value.where == position
    assert list(store.redis.scan_iter(match=store.keys.pattern())) == []


def _adopt(category: str, renumber: bool) -> None:
    with connect() as lab:
        EventStore(lab.redis, category).adopt(renumber=renumber)


@pytest.mark.parametrize("renumber", [False, True])
def test_killed_at_any_step_and_run_again_it_ends_the_same(
    store: EventStore, renumber: bool
) -> None:
    write(store, *(DOUBLED if renumber else GOOD))
    step = 0
    while True:
        step += 3  # every third moment of a run, so that the test takes seconds; the offset walks through them
        killed = killed_at(step + step // 9 % 3, _adopt, store.category, renumber)
        if not killed:
            break
        if not store.redis.exists(store.keys.ids):
            with pytest.raises(NotAdopted):
                store.append("JohnDoe", [Event("create")], expected=NEW)
    assert step > 15
    assert sorted([*store.read("JohnDoe"), *store.read("Jane")], key=lambda e: e.position) == list(
        store.read_all()
    )
    assert store.ids() == ["Jane", "JohnDoe"]
    assert not [
        key for key in store.redis.scan_iter(match=store.keys.pattern()) if b"adopting" in key
    ]


def test_the_first_append_of_another_one_is_not_taken_for_a_foreign_event(
    store: EventStore,
) -> None:
    first = EventStore(store.redis, store.category)

    class Overtaken:
        """A client in front of which, after each of these looks, another one appends the very first event."""

        def __getattr__(self, name: str) -> Any:
            plain = getattr(first.redis, name)

            def look(*args: Any, **options: Any) -> Any:
                answer = plain(*args, **options)
                if name in ("xlen", "exists") and not first.redis.exists(first.keys.ids):
                    first.append("a", [Event("create")], expected=NEW)
                return answer

            return look

    store.redis = Overtaken()
    assert store.version("a") == 0
    assert store.version("a") == 1
