"""The event store keeps its promises: versions, repeats, all or none, clear refusals."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
from pathlib import Path

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlab import (
    ANY,
    EXISTS,
    NEW,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidArgument,
    InvalidEvent,
    InvalidName,
    TokenReused,
    Trimmed,
    TrimRefused,
    VersionConflict,
)
from eventlab.accounts import AccountService
from eventlab.lessons import lossy
from eventlab.servers import Lab, connect

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


def deposits(*amounts: int) -> list[Event]:
    return [Event("deposit", {"amount": amount}) for amount in amounts]


def fill(store: EventStore, id: str, count: int) -> list[str]:
    """Positions of that many deposits."""
    return [
        event.position for event in store.append(id, deposits(*range(1, count + 1)), expected=ANY)
    ]


def everything(store: EventStore) -> dict[str, object]:
    """What Redis holds of a category, to the byte."""
    r = store.redis
    keys = sorted([*r.scan_iter(match=store.keys.pattern()), store.keys.stream])
    return {key: r.dump(key) for key in keys if r.exists(key)}


# ---------------------------------------------------------------- on the wire


def test_the_wire_format_is_the_original_s(redis_client: redis.Redis, category: str) -> None:
    times = iter([1551312621884, 1551312827949, 1551312847014])
    store = EventStore(redis_client, category, clock=times.__next__)
    store.append("JohnDoe", [Event("create")], expected=NEW)
    store.append("JohnDoe", deposits(100), expected=1)
    store.append(
        "JohnDoe",
        [Event("withdraw", {"amount": 100}, {"correlation_id": "c1"})],
        expected=2,
        token="t",
    )
    assert redis_client.xrange(category) == [
        (b"1551312621884-0", {b"event": b'{"id":"JohnDoe","version":1,"type":"create"}'}),
        (
            b"1551312827949-0",
            {b"event": b'{"id":"JohnDoe","version":2,"type":"deposit","amount":100}'},
        ),
        (
            b"1551312847014-0",
            {
                b"event": b'{"id":"JohnDoe","version":3,"type":"withdraw","amount":100}',
                b"meta": b'{"correlation_id":"c1"}',
            },
        ),
    ]
    log = redis_client.lrange(f"{{{category}}}:JohnDoe", 0, -1)
    assert json.loads(log[0])[:3] == ["1551312621884-0", "create", {}]
    assert log[2] == b'["1551312847014-0","withdraw",{"amount":100},"t",{"correlation_id":"c1"}]'


def test_every_key_of_a_category_hashes_like_its_stream(store: EventStore) -> None:
    store.append("a", deposits(1), expected=NEW, idempotency_key="k")
    keys = list(store.redis.scan_iter(match=f"*{store.category}*"))
    slots = {redis.cluster.key_slot(key) for key in keys}
    assert len(keys) == 4
    assert slots == {redis.cluster.key_slot(store.category.encode())}


@pytest.mark.parametrize(
    "id", ["accountStream", "ids", "/ids", "{x}", "a:b", "../x", "🐍", "\x00", "مرحبا", "x" * 512]
)
def test_any_id_is_only_an_id(store: EventStore, id: str) -> None:
    store.append("other", deposits(7), expected=NEW)
    before = store.read("other")
    assert store.append(id, deposits(1, 2), expected=NEW) == store.read(id)
    assert store.read("other") == before
    assert sorted(store.ids()) == sorted(["other", id])
    assert [(event.id, event.version) for event in store.read_all()] == [
        ("other", 1),
        (id, 1),
        (id, 2),
    ]


def test_a_client_that_decodes_sees_the_same(lab: Lab, store: EventStore) -> None:
    recorded = store.append("a", [Event("é", {"text": "ü🐍", "n": 2**60, "f": 0.1})], expected=NEW)
    decoding = EventStore(lab.redis, store.category)
    assert decoding.read("a") == list(decoding.read_all()) == recorded
    assert decoding.append("a", deposits(1), expected=1) == store.read("a", after=1)
    assert (decoding.ids(), decoding.head()) == (store.ids(), store.head())


# ---------------------------------------------------------- expected versions


def test_a_conflict_says_what_is_there_and_writes_nothing(store: EventStore) -> None:
    fill(store, "a", 3)
    before = everything(store)
    for expected in (NEW, 2, 4, 99):
        with pytest.raises(VersionConflict) as conflict:
            store.append("a", deposits(1), expected=expected)
        assert (conflict.value.id, conflict.value.expected, conflict.value.actual) == (
            "a",
            expected,
            3,
        )
    with pytest.raises(VersionConflict) as conflict:
        store.append("b", deposits(1), expected=EXISTS)
    assert (conflict.value.expected, conflict.value.actual) == (EXISTS, 0)
    assert everything(store) == before


def test_a_batch_goes_in_whole_at_20_000(store: EventStore) -> None:
    recorded = store.append("big", deposits(*range(1, 20_001)), expected=NEW)
    assert [event.version for event in recorded] == list(range(1, 20_001))
    assert store.read("big") == recorded == list(store.read_all())


def _append_500(category: str, number: int) -> None:
    with connect() as lab:
        store = EventStore(lab.redis, category)
        for _ in range(500):
            while True:
                version = store.version("shared")
                with contextlib.suppress(VersionConflict):
                    store.append(
                        "shared", [Event("deposit", {"amount": 1, "by": number})], expected=version
                    )
                    break


def test_eight_processes_on_one_account_leave_no_gap_and_no_double(store: EventStore) -> None:
    AccountService(store).create("shared")
    processes = [SPAWN.Process(target=_append_500, args=(store.category, n)) for n in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    own, stream = store.read("shared"), list(store.read_all())
    assert own == stream
    assert [event.version for event in own] == list(range(1, 4002))
    assert AccountService(store).fetch("shared").funds == 4000


# -------------------------------------------------------------------- repeats


@pytest.mark.parametrize("expected", [NEW, 3, EXISTS, ANY])
def test_a_lost_answer_is_stored_once(
    lab: Lab, store: EventStore, tmp_path: Path, expected: int
) -> None:
    if expected != NEW:
        fill(store, "a", 3)
    before = store.version("a")
    path = store.redis.connection_pool.connection_kwargs["path"]
    with lossy(tmp_path / "p", path) as proxy, redis.Redis(unix_socket_path=proxy.path) as client:
        through = EventStore(client, store.category)
        through.version("a")
        proxy.lose(2, b"EVALSHA")
        recorded = through.append("a", deposits(5, 6), expected=expected)
        assert proxy.lost == 2
    assert recorded == store.read("a", after=before)
    assert [event.data["amount"] for event in recorded] == [5, 6]


@pytest.mark.parametrize("expected", [NEW, 3, EXISTS, ANY])
def test_the_same_token_later_returns_what_was_recorded(store: EventStore, expected: int) -> None:
    if expected != NEW:
        fill(store, "a", 3)
    first = store.append("a", deposits(5, 6), expected=expected, token="mine")
    fill(store, "a", 4)
    before = everything(store)
    assert store.append("a", deposits(5, 6), expected=expected, token="mine") == first
    with pytest.raises(TokenReused):
        store.append("a", deposits(5, 7), expected=expected, token="mine")
    assert everything(store) == before


def test_once_returns_the_first_result_whatever_the_version_by_then(store: EventStore) -> None:
    fill(store, "a", 1)
    first = store.append("a", deposits(5), expected=1, idempotency_key="key")
    fill(store, "a", 2)
    before = everything(store)
    for expected in (NEW, 1, 4, EXISTS, ANY):
        assert store.append("a", deposits(5), expected=expected, idempotency_key="key") == first
    assert store.seen("a", "key") == first
    assert store.seen("b", "key") is None
    with pytest.raises(IdempotencyKeyReused):
        store.append("a", deposits(6), expected=4, idempotency_key="key")
    with pytest.raises(IdempotencyKeyReused):
        store.seen("a", "key", fingerprint="another")
    assert everything(store) == before
    assert 0 < store.redis.ttl(store.keys.idempotency("a", "key")) <= 86_400


def test_no_two_pairs_of_id_and_once_key_are_one(store: EventStore) -> None:
    store.append("a", deposits(1), expected=NEW, idempotency_key="b:c")
    assert store.seen("a:b", "c") is None


# ------------------------------------------------------------------- refusals

NOT_JSON = [
    {"x": float("nan")},
    {"x": [1, {"y": float("-inf")}]},
    {"x": (1, 2)},
    {"x": {1, 2}},
    {"x": b"bytes"},
    {1: "key"},
    {"x": "\ud800"},
    {"x": object()},
    ["no", "dict"],
    None,
]


@pytest.mark.parametrize(
    "data", [*NOT_JSON, {"id": "x"}, {"version": 1}, {"type": "t"}, {"x": "a" * 1_048_577}]
)
def test_what_json_cannot_say_is_refused_and_named(store: EventStore, data: dict) -> None:
    before = everything(store)
    with pytest.raises(InvalidEvent, match="event 1"):
        store.append("a", [Event("good"), Event("bad", data)], expected=ANY)
    assert everything(store) == before


@pytest.mark.parametrize(
    "events", [[], Event("x"), "text", [1], [Event("")], [Event(5)], [Event("x" * 300)], None]
)
def test_a_batch_that_is_none_is_refused(store: EventStore, events: list[Event]) -> None:
    with pytest.raises(InvalidEvent):
        store.append("a", events, expected=ANY)
    assert everything(store) == {}


@pytest.mark.parametrize("id", ["", "x" * 513, "\ud800", 5, None, b"bytes"])
def test_an_id_that_is_none_is_refused(store: EventStore, id: str) -> None:
    for call in (lambda: store.append(id, deposits(1), expected=ANY), lambda: store.read(id)):
        with pytest.raises(InvalidName):
            call()
    assert everything(store) == {}


@pytest.mark.parametrize("expected", [-1, True, 1.0, "1", None])
def test_an_expected_version_that_is_none_is_refused(store: EventStore, expected: int) -> None:
    with pytest.raises(InvalidArgument, match="expected"):
        store.append("a", deposits(1), expected=expected)


@pytest.mark.parametrize("category", ["", "{a}", "a}", "x" * 600])
def test_a_category_that_is_none_is_refused(redis_client: redis.Redis, category: str) -> None:
    with pytest.raises(InvalidName):
        EventStore(redis_client, category)


@pytest.mark.parametrize("key", ["stream", "log", "ids"])
def test_a_key_of_another_kind_stops_the_append_before_it_writes(
    store: EventStore, key: str
) -> None:
    name = store.keys.log("a") if key == "log" else getattr(store.keys, key)
    store.redis.set(name, "somebody's")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.append("a", deposits(1), expected=NEW, idempotency_key="k")
    assert list(everything(store)) == [name]


# ------------------------------------------------------------------ the clock


def test_a_clock_may_stand_still_or_go_back_and_positions_still_grow(
    redis_client: redis.Redis, category: str
) -> None:
    times = iter([5000, 5000, 3000, 6000, 0])
    store = EventStore(redis_client, category, clock=times.__next__)
    for version in range(5):
        store.append("a", deposits(1, 2), expected=version * 2)
    assert [event.position for event in store.read("a")] == [
        "5000-0", "5000-1", "5000-2", "5000-3", "5000-4", "5000-5", "6000-0", "6000-1", "6000-2", "6000-3",
    ]  # fmt: skip


@pytest.mark.parametrize("time", [-1, 1.5, True, None, 2**63])
def test_a_clock_that_tells_no_time_is_refused(
    redis_client: redis.Redis, category: str, time: int
) -> None:
    with pytest.raises(InvalidArgument, match="clock"):
        EventStore(redis_client, category, clock=lambda: time).append(
            "a", deposits(1), expected=NEW
        )


# -------------------------------------------------------------------- reading


def test_read_goes_both_ways(store: EventStore) -> None:
    fill(store, "a", 12)

    def versions(**options: object) -> list[int]:
        return [event.version for event in store.read("a", **options)]

    assert versions(after=3, limit=4) == [4, 5, 6, 7]
    assert versions(after=3, limit=4, reverse=True) == [12, 11, 10, 9]
    assert versions(after=10, limit=4, reverse=True) == [12, 11]
    assert (
        versions(after=12)
        == versions(after=99)
        == versions(limit=0)
        == versions(limit=0, reverse=True)
        == []
    )


def test_read_all_goes_on_from_a_position(store: EventStore) -> None:
    positions = fill(store, "a", 2500)
    assert [event.position for event in store.read_all(after=positions[1200])] == positions[1201:]
    assert [event.position for event in store.read_all(limit=1500)] == positions[:1500]
    assert list(store.read_all(after=positions[-1])) == []
    with pytest.raises(InvalidArgument):
        list(store.read_all(after="yesterday"))


def test_upcasters_lift_own_log_and_stream_alike(redis_client: redis.Redis, category: str) -> None:
    EventStore(redis_client, category).append("a", [Event("deposit", {"sum": "5"})], expected=NEW)

    def renamed(event):
        return type(event)(
            event.id, event.version, event.type, {"amount": event.data["sum"]}, event.position
        )

    def numbered(event):
        return type(event)(
            event.id,
            event.version,
            event.type,
            {"amount": int(event.data["amount"])},
            event.position,
        )

    store = EventStore(redis_client, category, upcasters=[renamed, numbered])
    assert (
        [event.data for event in store.read("a")]
        == [event.data for event in store.read_all()]
        == [{"amount": 5}]
    )


# ------------------------------------------------------------------- trimming


def test_trim_drops_from_the_stream_only_and_tells_late_readers(store: EventStore) -> None:
    positions = fill(store, "a", 10)
    assert store.trim(before="0-0") == 0
    assert store.trim(before=positions[4]) == 4
    assert store.trim(before=positions[4]) == 0
    assert (store.version("a"), len(store.read("a"))) == (10, 10)
    assert [event.version for event in store.read_all(after=positions[3])] == [5, 6, 7, 8, 9, 10]
    for after in ("0-0", positions[2]):
        with pytest.raises(Trimmed) as trimmed:
            list(store.read_all(after=after))
        assert (trimmed.value.after, trimmed.value.first) == (after, positions[4])
    assert store.append("a", deposits(1), expected=10)[0].version == 11


def test_a_reader_that_is_overtaken_by_a_trim_is_told(store: EventStore) -> None:
    positions = fill(store, "a", 3000)
    reader = store.read_all()
    list(itertools.islice(reader, 10))
    store.trim(before=positions[2500])
    with pytest.raises(Trimmed):
        list(reader)


def test_what_somebody_else_trimmed_is_told_too(store: EventStore) -> None:
    positions = fill(store, "a", 10)
    store.trim(before=positions[2])
    store.redis.xtrim(store.category, maxlen=5, approximate=False)
    with pytest.raises(Trimmed):
        list(store.read_all(after=positions[1]))
    assert len(list(store.read_all(after=positions[5]))) == 4


def test_trim_waits_for_every_group(store: EventStore) -> None:
    positions = fill(store, "a", 10)
    store.redis.xgroup_create(store.category, "behind", id=positions[1])
    store.redis.xgroup_create(store.category, "pending", id="0")
    store.redis.xreadgroup("pending", "consumer", {store.category: ">"}, count=10)
    store.redis.xack(store.category, "pending", *positions[:3])
    with pytest.raises(TrimRefused) as refused:
        store.trim(before=positions[5])
    assert (refused.value.group, refused.value.position) == ("behind", positions[2])
    assert store.trim(before=positions[2]) == 2
    assert store.forget_group("behind")
    with pytest.raises(TrimRefused) as refused:
        store.trim(before=positions[5])
    assert (refused.value.group, refused.value.position) == ("pending", positions[3])
    assert store.trim(before=positions[3]) == 1
    assert store.forget_group("pending")
    assert not store.forget_group("pending")
    assert store.trim(before=positions[5]) == 2


def test_drop_leaves_nothing_and_touches_nothing_else(
    store: EventStore, redis_client: redis.Redis
) -> None:
    neighbour = EventStore(redis_client, store.category + "2")
    fill(neighbour, "a", 2)
    fill(store, "a", 2)
    store.append("a", deposits(1), expected=2, idempotency_key="k")
    store.trim(before=store.head())
    store.drop()
    assert everything(store) == {}
    assert (store.version("a"), store.ids(), store.head()) == (0, [], "0-0")
    assert len(neighbour.read("a")) == 2
    assert store.append("a", deposits(1), expected=NEW)[0].version == 1
    neighbour.drop()


# ------------------------------------------------------------------ any event

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
payloads = st.dictionaries(
    st.text().filter(lambda key: key not in ("id", "version", "type")), plain, max_size=5
)


@settings(max_examples=150, deadline=None)
@given(
    id=st.text(min_size=1, max_size=50),
    type=st.text(min_size=1, max_size=20),
    data=payloads,
    meta=st.none() | payloads,
)
def test_what_json_can_say_comes_back_as_it_went_in(
    lab: Lab, id: str, type: str, data: dict, meta: dict | None
) -> None:
    store = EventStore(lab.redis, "test-any-event")
    store.drop()
    recorded = store.append(id, [Event(type, data, meta)], expected=NEW)
    assert (recorded[0].type, recorded[0].data, recorded[0].meta) == (type, data, meta)
    assert store.read(id) == list(store.read_all()) == recorded
    assert all(
        json.loads(entry["event"])["id"] == id for _, entry in lab.redis.xrange("test-any-event")
    )
    store.drop()
