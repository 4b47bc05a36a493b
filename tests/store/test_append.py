"""Appends: exact versions, all or none, repeats by token, and rejected input."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
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
    Event,
    EventStore,
    InvalidArgument,
    InvalidEvent,
    InvalidName,
    TokenReused,
    VersionConflict,
)
from eventlab.accounts import AccountService
from eventlab.lessons import lossy
from eventlab.servers import Lab, connect
from tests.support.examples import examples
from tests.support.processes import forked
from tests.support.store import append_deposits, contents, deposits


def test_append_writes_the_wire_format_of_the_original(
    redis_client: redis.Redis, category: str
) -> None:
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


# ------------------------------------------------------------------ expected versions


def test_conflict_names_the_versions_and_writes_nothing(store: EventStore) -> None:
    append_deposits(store, "a", 3)
    before = contents(store)
    for expected in (NEW, 2, 4, 99):
        with pytest.raises(VersionConflict) as conflict:
            store.append("a", deposits(1), expected=expected)
        assert (conflict.value.id, conflict.value.expected, conflict.value.actual) == (
            "a",
            expected,
            3,
        )
    with pytest.raises(VersionConflict, match="is at version 0, expected EXISTS") as conflict:
        store.append("b", deposits(1), expected=EXISTS)
    assert (conflict.value.expected, conflict.value.actual) == (EXISTS, 0)
    assert contents(store) == before


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


@pytest.mark.long
def test_eight_processes_on_one_account_leave_no_gap_and_no_duplicate(store: EventStore) -> None:
    AccountService(store).create("shared")
    processes = [forked(_append_500, store.category, n) for n in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
        assert process.exitcode == 0
    log = store.read("shared")
    assert log == list(store.read_all())
    assert [event.version for event in log] == list(range(1, 4002))
    assert AccountService(store).fetch("shared").funds == 4000


# -------------------------------------------------------------------------- all or none


def test_append_stores_a_batch_of_20_000_events(store: EventStore) -> None:
    recorded = store.append("big", deposits(*range(1, 20_001)), expected=NEW)
    assert [event.version for event in recorded] == list(range(1, 20_001))
    assert store.read("big") == recorded == list(store.read_all())


@pytest.mark.parametrize("count", [1, 2, 1001])
def test_append_stores_a_whole_batch_at_time_0(
    redis_client: redis.Redis, category: str, count: int
) -> None:
    store = EventStore(redis_client, category, clock=lambda: 0)
    first = store.append("a", deposits(*range(count)), expected=NEW)
    second = store.append("a", deposits(*range(count)), expected=count)
    assert store.read("a") == first + second == list(store.read_all())
    assert store.ids() == ["a"]


@pytest.mark.parametrize("key", ["stream", "log", "ids"])
def test_append_writes_nothing_when_a_key_has_another_redis_type(
    store: EventStore, key: str
) -> None:
    name = store.keys.log("a") if key == "log" else getattr(store.keys, key)
    store.redis.set(name, "foreign")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.append("a", deposits(1), expected=NEW, idempotency_key="k")
    assert list(contents(store)) == [name]


# ------------------------------------------------------------------------------ repeats


@pytest.mark.parametrize("expected", [NEW, 3, EXISTS, ANY])
def test_append_stores_once_when_a_reply_is_lost(
    lab: Lab, store: EventStore, tmp_path: Path, expected: int
) -> None:
    if expected != NEW:
        append_deposits(store, "a", 3)
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
def test_append_with_the_same_token_returns_what_was_recorded(
    store: EventStore, expected: int
) -> None:
    if expected != NEW:
        append_deposits(store, "a", 3)
    first = store.append("a", deposits(5, 6), expected=expected, token="mine")
    append_deposits(store, "a", 4)
    before = contents(store)
    assert store.append("a", deposits(5, 6), expected=expected, token="mine") == first
    with pytest.raises(TokenReused):
        store.append("a", deposits(5, 7), expected=expected, token="mine")
    assert contents(store) == before


@pytest.mark.parametrize(
    ("amounts", "expected"), [((1, 2), NEW), ((1, 2), ANY), ((2, 3), 1), ((2,), 1), ((3,), 2)]
)
def test_part_of_an_append_is_not_a_repeat(
    store: EventStore, amounts: tuple[int, ...], expected: int
) -> None:
    whole = store.append("a", deposits(1, 2, 3), expected=NEW, token="t")
    with pytest.raises(TokenReused):
        store.append("a", deposits(*amounts), expected=expected, token="t")
    store.append("a", deposits(1), expected=3, token="u")
    assert store.append("a", deposits(1, 2, 3), expected=NEW, token="t") == whole


def test_append_with_a_token_that_json_escapes_returns_what_was_recorded(store: EventStore) -> None:
    first = store.append("a", deposits(5), expected=NEW, token='"\\é\n')
    assert store.append("a", deposits(5), expected=NEW, token='"\\é\n') == first


def test_append_conflicts_with_an_event_whose_data_contains_its_token(store: EventStore) -> None:
    store.append("a", [Event("note", {"text": "mine"})], expected=NEW)
    with pytest.raises(VersionConflict) as conflict:
        store.append("a", deposits(5), expected=NEW, token="mine")
    assert conflict.value.actual == 1


def test_token_with_another_meta_is_for_another_event(store: EventStore) -> None:
    store.append("a", [Event("x", {}, {"correlation_id": "c1"})], expected=NEW, token="t")
    for meta in ({"correlation_id": "c2"}, None):
        with pytest.raises(TokenReused):
            store.append("a", [Event("x", {}, meta)], expected=NEW, token="t")


# ----------------------------------------------------------------------- rejected input


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
def test_append_rejects_what_json_cannot_represent(store: EventStore, data: dict) -> None:
    before = contents(store)
    with pytest.raises(InvalidEvent, match="event 1"):
        store.append("a", [Event("good"), Event("bad", data)], expected=ANY)
    assert contents(store) == before


@pytest.mark.parametrize(
    "events", [[], Event("x"), "text", [1], [Event("")], [Event(5)], [Event("x" * 300)], None]
)
def test_append_rejects_what_is_not_a_batch(store: EventStore, events: list[Event]) -> None:
    with pytest.raises(InvalidEvent):
        store.append("a", events, expected=ANY)
    assert contents(store) == {}


@pytest.mark.parametrize("meta", [["c1"], "c1", 5, False, "", [], ({"correlation_id": "c1"},)])
def test_append_rejects_meta_that_is_not_a_dict(store: EventStore, meta: Any) -> None:
    with pytest.raises(InvalidEvent, match=r"event 1.*meta"):
        store.append("a", [Event("x"), Event("y", {}, meta)], expected=NEW)
    assert store.version("a") == 0
    assert (
        store.append("a", [Event("x", {}, {})], expected=NEW)
        == store.read("a")
        == list(store.read_all())
    )


def test_append_rejects_meta_over_the_size_limit(store: EventStore) -> None:
    with pytest.raises(InvalidEvent, match="meta"):
        store.append("a", [Event("x", {}, {"note": "n" * 1_048_577})], expected=NEW)
    assert store.version("a") == 0


def nested(depth: int) -> dict[str, Any]:
    inner: Any = []
    for _ in range(depth - 2):
        inner = [inner]
    return {"x": inner}


def from_deep_inside(call: Callable[[], Any], calls: int) -> Any:
    return call() if calls == 0 else from_deep_inside(call, calls - 1)


@pytest.mark.parametrize("place", ["data", "meta"])
def test_deepest_event_can_be_read_from_deep_in_the_call_stack(
    store: EventStore, place: str
) -> None:
    deep = nested(101)
    deepest = nested(100)
    with pytest.raises(InvalidEvent, match="deep"):
        store.append("a", [Event("x", **{place: deep})], expected=NEW)
    recorded = store.append("a", [Event("x", **{place: deepest})], expected=NEW)
    assert from_deep_inside(lambda: store.read("a"), 500) == recorded
    assert from_deep_inside(lambda: list(store.read_all()), 500) == recorded


def test_append_accepts_many_shallow_branches(store: EventStore) -> None:
    store.append("a", [Event("x", {"x": [[] for _ in range(500)], "y": "[" * 500})], expected=NEW)


@pytest.mark.parametrize("id", ["", "x" * 513, "\ud800", 5, None, b"bytes"])
def test_append_and_read_reject_a_bad_id(store: EventStore, id: str) -> None:
    for call in (lambda: store.append(id, deposits(1), expected=ANY), lambda: store.read(id)):
        with pytest.raises(InvalidName):
            call()
    assert contents(store) == {}


@pytest.mark.parametrize("expected", [-1, True, 1.0, "1", None, 2**63])
def test_append_rejects_a_bad_expected_version(store: EventStore, expected: int) -> None:
    with pytest.raises(InvalidArgument, match="must be a version"):
        store.append("a", deposits(1), expected=expected)


# -------------------------------------------------------------------------------- clock


def test_positions_grow_when_the_clock_stops_or_goes_back(
    redis_client: redis.Redis, category: str
) -> None:
    times = iter([5000, 5000, 3000, 6000, 0])
    store = EventStore(redis_client, category, clock=times.__next__)
    for version in range(5):
        store.append("a", deposits(1, 2), expected=version * 2)
    after = [f"5000-{n}" for n in range(6)] + [f"6000-{n}" for n in range(4)]
    assert [event.position for event in store.read("a")] == after


@pytest.mark.parametrize("time", [-1, 1.5, True, None, 2**48 - 1, 2**63])
def test_append_rejects_a_bad_time_of_the_clock(
    redis_client: redis.Redis, category: str, time: int
) -> None:
    with pytest.raises(InvalidArgument, match="clock"):
        EventStore(redis_client, category, clock=lambda: time).append(
            "a", deposits(1), expected=NEW
        )


# ---------------------------------------------------------------------------- any event


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


@settings(max_examples=examples(150), deadline=None)
@given(
    id=st.text(min_size=1, max_size=50),
    type=st.text(min_size=1, max_size=20),
    data=payloads,
    meta=st.none() | payloads,
)
def test_whatever_json_can_represent_is_read_back_unchanged(
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
