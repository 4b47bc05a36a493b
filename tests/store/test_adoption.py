"""Streams of the original are read, adopted and continued; broken ones are rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from eventlab import NEW, AdoptionRefused, CorruptEvent, Event, EventStore, NotAdopted
from eventlab.accounts import AccountService
from eventlab.lessons import lossy
from eventlab.servers import connect
from eventlab.store.keys import order
from eventlab.store.scripts import Script
from tests.support.killed_process import killed_at
from tests.support.store import write_original

GOOD = [
    ("JohnDoe", 1, "create", {}),
    ("Jane", 1, "create", {}),
    ("JohnDoe", 2, "deposit", {"amount": 100}),
    ("Jane", 2, "deposit", {"amount": 7}),
    ("JohnDoe", 3, "withdraw", {"amount": 40}),
]
DUPLICATE = [
    *GOOD[:3],
    ("JohnDoe", 2, "deposit", {"amount": 5}),
    ("JohnDoe", 3, "withdraw", {"amount": 1}),
]
GAP = [*GOOD[:2], ("JohnDoe", 3, "withdraw", {"amount": 1})]
LATE = [("JohnDoe", 2, "deposit", {"amount": 1})]
REPAIRABLE = [
    ("JohnDoe", 1, "create", {}),
    ("JohnDoe", 2, "deposit", {"amount": 100}),
    ("JohnDoe", 2, "deposit", {"amount": 5}),
    ("JohnDoe", 3, "withdraw", {"amount": 40}),
]


def write_many(store: EventStore, aggregates: int, versions: int) -> None:
    """Write aggregates as the original does, more than fit on one page."""
    with store.redis.pipeline(transaction=False) as pipeline:
        for n in range(aggregates * versions):
            entry = f'{{"id":"a{n % aggregates}","version":{n // aggregates + 1},"type":"x"}}'
            pipeline.xadd(store.category, {"event": entry}, id=f"{n + 1}-0")
        pipeline.execute()


def test_adopted_stream_is_read_and_continued(store: EventStore) -> None:
    write_original(store, *GOOD)
    before = store.redis.xrange(store.category)
    assert [(e.id, e.version, e.type, e.data) for e in store.read_all()] == GOOD
    assert store.adopt() == 5
    assert store.redis.xrange(store.category) == before
    service = AccountService(store)
    assert (service.fetch("JohnDoe").funds, service.fetch("Jane").funds) == (60, 7)
    assert service.deposit("JohnDoe", 1).version == 4
    assert sorted(
        [*store.read("JohnDoe"), *store.read("Jane")], key=lambda e: order(e.position)
    ) == list(store.read_all())
    assert store.ids() == ["Jane", "JohnDoe"]


def test_store_is_not_empty_before_adoption(store: EventStore) -> None:
    write_original(store, *GOOD)
    for call in (
        lambda: store.append("JohnDoe", [Event("deposit", {"amount": 1})], expected=3),
        lambda: store.append("New", [Event("create")], expected=NEW),
        lambda: store.read("JohnDoe"),
        lambda: store.read("JohnDoe", after=1),
        lambda: store.version("JohnDoe"),
        store.ids,
    ):
        with pytest.raises(NotAdopted, match="adopt"):
            call()
    assert store.redis.xlen(store.category) == 5


def test_adopt_can_be_repeated_and_takes_new_events(store: EventStore) -> None:
    write_original(store, *GOOD[:3])
    assert store.adopt() == 3
    assert store.adopt() == 3
    store.redis.xadd(
        store.category, {"event": '{"id":"Jane","version":2,"type":"deposit","amount":7}'}
    )
    store.redis.xadd(store.category, {"event": '{"id":"Jim","version":1,"type":"create"}'})
    assert store.adopt() == 5
    assert (store.version("Jane"), store.ids()) == (2, ["Jane", "Jim", "JohnDoe"])


def test_adopt_accepts_a_category_of_our_own(store: EventStore) -> None:
    recorded = store.append("a", [Event("x"), Event("y", {}, {"m": 1})], expected=NEW)
    assert store.adopt() == 2
    assert store.read("a") == recorded


@pytest.mark.parametrize(("aggregates", "versions"), [(1, 2500), (1300, 2)])
def test_adopt_takes_a_stream_of_many_pages(
    store: EventStore, aggregates: int, versions: int
) -> None:
    write_many(store, aggregates, versions)
    assert store.adopt() == aggregates * versions
    assert store.ids() == sorted(f"a{n}" for n in range(aggregates))
    logs = [event for id in store.ids() for event in store.read(id)]
    assert sorted(logs, key=lambda event: int(event.position[:-2])) == list(store.read_all())


# ------------------------------------------------------------------------ broken streams


@pytest.mark.parametrize(
    ("events", "place", "version", "expected", "word"),
    [(DUPLICATE, 3, 2, 3, "duplicate"), (GAP, 2, 3, 2, "missing"), (LATE, 0, 2, 1, "missing")],
)
def test_adopt_rejects_a_broken_stream_and_names_the_position(
    store: EventStore, events: list[Any], place: int, version: int, expected: int, word: str
) -> None:
    write_original(store, *events)
    with pytest.raises(AdoptionRefused, match=word) as refusal:
        store.adopt()
    error = refusal.value
    assert (error.position, error.id) == (f"{1551312621884 + place}-0", "JohnDoe")
    assert (error.version, error.expected) == (version, expected)
    assert list(store.redis.scan_iter(match=store.keys.pattern())) == []
    with pytest.raises(NotAdopted):
        store.append("JohnDoe", [Event("create")], expected=NEW)


@pytest.mark.parametrize("renumber", [False, True])
def test_adopt_accepts_a_stream_that_was_repaired_by_hand(
    store: EventStore, renumber: bool
) -> None:
    """As AdoptionRefused advises: one of the duplicate events is deleted."""
    positions = write_original(store, *REPAIRABLE)
    store.redis.xdel(store.category, positions[2])
    assert store.adopt(renumber=renumber) == 3
    assert list(store.read_all()) == store.read("JohnDoe")
    assert AccountService(store).fetch("JohnDoe").funds == 60
    store.redis.xdel(store.category, positions[1])  # a later deletion is noticed
    with pytest.raises(Exception, match="trimmed"):
        list(store.read_all())


def test_adopt_renumbers_what_is_left_of_a_trimmed_stream(store: EventStore) -> None:
    write_original(store, *REPAIRABLE)
    store.redis.xtrim(store.category, maxlen=2, approximate=False)
    assert store.adopt(renumber=True) == 2
    assert [event.version for event in store.read_all()] == [1, 2]


@pytest.mark.parametrize("events", [DUPLICATE, GAP, LATE])
def test_adopt_renumbers_the_stream_too(store: EventStore, events: list[Any]) -> None:
    write_original(store, *events)
    store.redis.xgroup_create(store.category, "accountStreamGroup", id="1551312621884-0")
    assert store.adopt(renumber=True) == len(events)
    log = store.read("JohnDoe")
    assert [event.version for event in log] == list(range(1, len(log) + 1))
    assert [event for event in store.read_all() if event.id == "JohnDoe"] == log
    assert [event.data for event in log] == [data for id, _, _, data in events if id == "JohnDoe"]
    assert [event.position for event in store.read_all()] == [
        f"{1551312621884 + n}-0" for n in range(len(events))
    ]
    [group] = store.redis.xinfo_groups(store.category)
    assert (group["name"], group["last-delivered-id"]) == (
        b"accountStreamGroup",
        b"1551312621884-0",
    )


def test_adopt_does_not_renumber_while_a_group_has_pending_events(store: EventStore) -> None:
    write_original(store, *DUPLICATE)
    store.redis.xgroup_create(store.category, "busy", id="0")
    store.redis.xreadgroup("busy", "c", {store.category: ">"}, count=1)
    with pytest.raises(AdoptionRefused, match="busy"):
        store.adopt(renumber=True)
    assert len(store.redis.xrange(store.category)) == len(DUPLICATE)


@pytest.mark.parametrize(
    "fields",
    [
        {"other": "x"},
        {"event": "{"},
        {"event": '{"id":"a","type":"x"}'},
        {"event": '{"id":5,"version":1,"type":"x"}'},
        {"event": '{"id":"","version":1,"type":"x"}'},
        {"event": "[]"},
        {"event": '{"id":"a","version":true,"type":"x"}'},
    ],
)
def test_adopt_names_an_entry_that_is_not_an_event(
    store: EventStore, fields: dict[str, str]
) -> None:
    write_original(store, *GOOD)
    position = store.redis.xadd(store.category, fields).decode()
    with pytest.raises(CorruptEvent) as corrupt:
        store.adopt()
    assert corrupt.value.where == position
    assert list(store.redis.scan_iter(match=store.keys.pattern())) == []


def test_adopt_rejects_an_aggregate_log_with_other_events(store: EventStore) -> None:
    store.append("a0", [Event("x"), Event("y")], expected=NEW)
    store.redis.delete(store.category)
    write_many(store, 1, 3)
    before = store.redis.lrange(store.keys.log("a0"), 0, -1)
    with pytest.raises(AdoptionRefused, match="aggregate log") as refusal:
        store.adopt()
    assert (refusal.value.position, refusal.value.version) == ("1-0", 1)
    assert store.redis.lrange(store.keys.log("a0"), 0, -1) == before


def test_adopt_script_never_leaves_a_gap(store: EventStore) -> None:
    log = store.keys.log("a")
    assert Script("store/adopt")(store.redis, [log], [2, "2-0", '["2-0","x",{},""]']) == 2
    assert not store.redis.exists(log)


# ------------------------------------------------------------------------ crashes, races


def _adopt(category: str, renumber: bool) -> None:
    with connect() as lab:
        EventStore(lab.redis, category).adopt(renumber=renumber)


@pytest.mark.long
@pytest.mark.parametrize("renumber", [False, True])
def test_adopt_completes_when_run_again_after_a_kill_at_any_step(
    store: EventStore, renumber: bool
) -> None:
    write_original(store, *(DUPLICATE if renumber else GOOD))
    step = 0
    while True:
        # Every third step, so that the test takes seconds; the offset moves through the others.
        step += 3
        killed = killed_at(step + step // 9 % 3, _adopt, store.category, renumber)
        if not killed:
            break
        if not store.redis.exists(store.keys.ids):
            with pytest.raises(NotAdopted):
                store.append("JohnDoe", [Event("create")], expected=NEW)
    assert step > 15
    assert sorted(
        [*store.read("JohnDoe"), *store.read("Jane")], key=lambda e: order(e.position)
    ) == list(store.read_all())
    assert store.ids() == ["Jane", "JohnDoe"]
    assert not [
        key for key in store.redis.scan_iter(match=store.keys.pattern()) if b"adopting" in key
    ]


def test_adopt_publishes_all_ids_at_once(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_many(store, 1300, 1)
    plain = redis.Redis.sadd
    calls = iter([True, False])

    def interrupted(self: redis.Redis, *args: Any) -> Any:
        if not next(calls):
            raise KeyboardInterrupt
        return plain(self, *args)

    monkeypatch.setattr(redis.Redis, "sadd", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.adopt()
    monkeypatch.undo()
    with pytest.raises(NotAdopted):
        store.append("new", [Event("x")], expected=NEW)
    assert store.adopt() == 1300
    assert len(store.ids()) == 1300


def test_first_append_of_another_writer_is_not_taken_for_a_foreign_event(
    store: EventStore,
) -> None:
    first = EventStore(store.redis, store.category)

    class Overtaken:
        """A client that is overtaken after each check: another one appends the very first event."""

        def __getattr__(self, name: str) -> Any:
            plain = getattr(first.redis, name)

            def check(*args: Any, **options: Any) -> Any:
                answer = plain(*args, **options)
                if name in ("xlen", "exists") and not first.redis.exists(first.keys.ids):
                    first.append("a", [Event("create")], expected=NEW)
                return answer

            return check

    store = EventStore(Overtaken(), store.category)  # type: ignore[arg-type]
    assert store.version("a") == 0
    assert store.version("a") == 1


# ------------------------------------------------------------------------ the other program


def test_verify_names_what_another_program_wrote_after_adopt(store: EventStore) -> None:
    write_original(store, ("a", 1, "create", {}), ("b", 1, "create", {}))
    assert store.adopt() == 2
    store.append("a", [Event("deposit", {"amount": 1})] * 700, expected=1)
    assert store.verify() == []
    head = int(store.head().partition("-")[0])
    # A version of ours again, a new account, a version far too high, and one below 1.
    others = (("a", 2), ("c", 1), ("b", 10**9), ("a", 0))
    write_original(store, *((id, n, "deposit", {}) for id, n in others), start=head + 1)
    assert [(event.id, event.version) for event in store.verify()] == list(others)
    store.trim(before=f"{head + 2}-0")
    assert [(event.id, event.version) for event in store.verify()] == list(others[1:])


@pytest.mark.parametrize(
    ("half", "read"),
    [(r"\ud83d", "\ufffd"), (r"\uDE00 \\ud83d \ud83d\ude00", "\ufffd \\ud83d 😀")],
)
def test_adopt_replaces_half_an_emoji_as_node_does(store: EventStore, half: str, read: str) -> None:
    # JSON.stringify("😀".slice(0, 1)) is valid JSON, but no UTF-8 can hold the half.
    text = f'{{"id":"a","version":1,"type":"create","name":"{half}","n":1.5}}'
    store.redis.xadd(store.category, {"event": text})
    assert store.adopt() == 1
    [event] = store.read("a")
    assert event.data == {"name": read, "n": 1.5}
    assert list(store.read_all()) == [event]
    store.redis.xadd(store.category, {"event": r'{"id":"\ud83d"'})
    with pytest.raises(CorruptEvent):
        list(store.read_all())


# --------------------------------------------------------------------------- lost answers


@pytest.mark.parametrize("renumber", [False, True])
@pytest.mark.parametrize("command", [b"RENAME", b"XADD", b"XGROUP", b"SADD", b"EVALSHA"])
def test_adopt_returns_the_number_of_events_when_an_answer_is_lost(
    store: EventStore, tmp_path: Path, command: bytes, renumber: bool
) -> None:
    version = 2 if renumber else 1
    write_original(store, ("a", version, "create", {}), ("b", version, "create", {}))
    store.redis.xgroup_create(store.category, "group", id="0")
    path = store.redis.connection_pool.connection_kwargs["path"]
    with lossy(tmp_path / "p", path) as proxy, redis.Redis(unix_socket_path=proxy.path) as client:
        proxy.lose(1, command)
        assert EventStore(client, store.category).adopt(renumber=renumber) == 2
        assert proxy.lost == (renumber or command not in (b"XADD", b"XGROUP"))
    assert store.ids() == ["a", "b"]
    assert [event.version for event in store.read_all()] == [1, 1]
    [group] = store.redis.xinfo_groups(store.category)
    assert (group["name"], group["last-delivered-id"]) == (b"group", b"0-0")


def test_adoption_of_an_empty_category_finds_nothing_and_changes_nothing(store: EventStore) -> None:
    assert store.adopt() == 0
    assert list(store.redis.scan_iter(match=store.keys.pattern())) == []
    store.append("a", [Event("create")], expected=NEW)
    assert store.ids() == ["a"]
