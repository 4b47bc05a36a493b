"""The edges of the store: input that could poison an aggregate, half a batch, streams that somebody mended by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from eventlab import (
    ANY,
    NEW,
    CorruptEvent,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidArgument,
    InvalidEvent,
    InvalidName,
    NotAdopted,
    TokenReused,
    TrimRefused,
)
from eventlab.accounts import AccountService, InvalidAmount
from eventlab.servers import Lab


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


def deposits(*amounts: int) -> list[Event]:
    return [Event("deposit", {"amount": amount}) for amount in amounts]


def nested(depth: int) -> dict[str, Any]:
    inner: Any = []
    for _ in range(depth - 2):
        inner = [inner]
    return {"x": inner}


def from_deep_inside(call: Callable[[], Any], calls: int) -> Any:
    return call() if calls == 0 else from_deep_inside(call, calls - 1)


# ------------------------------------------------------------------ all or none


@pytest.mark.parametrize("count", [1, 2, 1001])
def test_a_batch_at_the_beginning_of_time_goes_in_whole(
    redis_client: redis.Redis, category: str, count: int
) -> None:
    store = EventStore(redis_client, category, clock=lambda: 0)
    first = store.append("a", deposits(*range(count)), expected=NEW)
    second = store.append("a", deposits(*range(count)), expected=count)
    assert store.read("a") == first + second == list(store.read_all())
    assert store.ids() == ["a"]


# ------------------------------------------------- nothing is stored that cannot be read


@pytest.mark.parametrize("meta", [["c1"], "c1", 5, False, "", [], ({"correlation_id": "c1"},)])
def test_a_meta_that_is_no_dict_is_refused(store: EventStore, meta: Any) -> None:
    with pytest.raises(InvalidEvent, match=r"event 1.*meta"):
        store.append("a", [Event("x"), Event("y", {}, meta)], expected=NEW)
    assert store.version("a") == 0
    assert (
        store.append("a", [Event("x", {}, {})], expected=NEW)
        == store.read("a")
        == list(store.read_all())
    )


@pytest.mark.parametrize("place", ["data", "meta"])
def test_what_is_stored_can_be_read_however_deep_the_reader_stands(
    store: EventStore, place: str
) -> None:
    deep, deepest = nested(101), nested(100)
    with pytest.raises(InvalidEvent, match="deep"):
        store.append("a", [Event("x", **{place: deep})], expected=NEW)
    recorded = store.append("a", [Event("x", **{place: deepest})], expected=NEW)
    assert from_deep_inside(lambda: store.read("a"), 500) == recorded
    assert from_deep_inside(lambda: list(store.read_all()), 500) == recorded


def test_many_shallow_branches_are_not_deep(store: EventStore) -> None:
    store.append("a", [Event("x", {"x": [[] for _ in range(500)], "y": "[" * 500})], expected=NEW)


@pytest.mark.parametrize("fingerprint", [5, [1], b"x", "\ud800", True])
def test_a_fingerprint_that_is_no_text_is_refused(store: EventStore, fingerprint: Any) -> None:
    with pytest.raises(InvalidName, match="fingerprint"):
        store.append("a", deposits(1), expected=NEW, idempotency_key="k", fingerprint=fingerprint)
    assert store.seen("a", "k") is None
    assert store.version("a") == 0


# --------------------------------------------------------------------- repeats


def test_the_same_request_with_its_keys_in_another_order_is_the_same(store: EventStore) -> None:
    first = store.append(
        "a", [Event("x", {"a": 1, "b": {"c": 2, "d": 3}})], expected=NEW, idempotency_key="k"
    )
    assert (
        store.append(
            "a", [Event("x", {"b": {"d": 3, "c": 2}, "a": 1})], expected=NEW, idempotency_key="k"
        )
        == first
    )
    with pytest.raises(IdempotencyKeyReused):
        store.append(
            "a", [Event("x", {"b": {"d": 3, "c": 1}, "a": 2})], expected=NEW, idempotency_key="k"
        )


@pytest.mark.parametrize(
    ("amounts", "expected"), [((1, 2), NEW), ((1, 2), ANY), ((2, 3), 1), ((2,), 1), ((3,), 2)]
)
def test_a_part_of_an_append_is_not_its_repeat(
    store: EventStore, amounts: tuple[int, ...], expected: int
) -> None:
    whole = store.append("a", deposits(1, 2, 3), expected=NEW, token="t")
    with pytest.raises(TokenReused):
        store.append("a", deposits(*amounts), expected=expected, token="t")
    store.append("a", deposits(1), expected=3, token="u")
    assert store.append("a", deposits(1, 2, 3), expected=NEW, token="t") == whole


# ------------------------------------------------------------------- bad input


@pytest.mark.parametrize("number", [-1, True, 1.5, float("nan"), "1", 2**70])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_count_that_is_none_is_refused(store: EventStore, number: Any, reverse: bool) -> None:
    for call in (
        lambda: store.read("a", after=number, reverse=reverse),
        lambda: store.read("a", limit=number, reverse=reverse),
        lambda: store.read_all(limit=number),
    ):
        with pytest.raises(InvalidArgument, match=r"must be an integer"):
            call()


def test_a_position_or_a_version_that_redis_cannot_hold_is_refused(store: EventStore) -> None:
    store.append("a", deposits(1), expected=NEW)
    for position in ("99999999999999999999-0", "1-18446744073709551616"):
        for call in (
            lambda p=position: store.trim(before=p),
            lambda p=position: store.read_all(after=p),
        ):
            with pytest.raises(InvalidArgument, match="position"):
                call()
    with pytest.raises(InvalidArgument, match="expected"):
        store.append("a", deposits(1), expected=2**63)


def test_a_clock_beyond_the_calendar_is_refused(redis_client: redis.Redis, category: str) -> None:
    store = EventStore(redis_client, category, clock=lambda: 2**48 - 1)
    with pytest.raises(InvalidArgument, match="clock"):
        store.append("a", deposits(1), expected=NEW)


def test_an_amount_of_5000_digits_is_refused_by_the_service_too(store: EventStore) -> None:
    service = AccountService(store)
    service.create("a")
    for command in (service.deposit, service.withdraw):
        with pytest.raises(InvalidAmount):
            command("a", 10**5000)


# -------------------------------------------------------------------- trimming


def test_a_position_in_short_means_its_first_event_to_trim_as_well(
    redis_client: redis.Redis, category: str
) -> None:
    store = EventStore(redis_client, category, clock=itertools.count(4999).__next__)
    store.append("a", deposits(1), expected=NEW)
    store.append("a", deposits(1, 2, 3), expected=1)
    store.redis.xgroup_create(category, "behind", id="4999-0")
    assert store.trim(before="5000") == 1
    assert [event.version for event in store.read_all(after="4999-0")] == [2, 3, 4]
    with pytest.raises(TrimRefused):
        store.trim(before="5001")


# ------------------------------------------------------------ streams of others


def write(store: EventStore, *events: tuple[str, int, str, dict[str, Any]]) -> list[bytes]:
    return [
        store.redis.xadd(
            store.category,
            {"event": json.dumps({"id": id, "version": version, "type": type} | data)},
            id=f"{n + 1}-0",
        )
        for n, (id, version, type, data) in enumerate(events)
    ]


DOUBLED = [
    ("JohnDoe", 1, "create", {}),
    ("JohnDoe", 2, "deposit", {"amount": 100}),
    ("JohnDoe", 2, "deposit", {"amount": 5}),
    ("JohnDoe", 3, "withdraw", {"amount": 40}),
]


@pytest.mark.parametrize("renumber", [False, True])
def test_a_stream_that_was_mended_by_hand_is_adopted_and_read(
    store: EventStore, renumber: bool
) -> None:
    """As AdoptionRefused advises: one of the doubled events is deleted."""
    positions = write(store, *DOUBLED)
    store.redis.xdel(store.category, positions[2])
    assert store.adopt(renumber=renumber) == 3
    assert list(store.read_all()) == store.read("JohnDoe")
    assert AccountService(store).fetch("JohnDoe").funds == 60
    store.redis.xdel(store.category, positions[1])  # what is deleted later is told
    with pytest.raises(Exception, match="trimmed"):
        list(store.read_all())


def test_what_is_left_of_a_trimmed_stream_can_be_renumbered(store: EventStore) -> None:
    write(store, *DOUBLED)
    store.redis.xtrim(store.category, maxlen=2, approximate=False)
    assert store.adopt(renumber=True) == 2
    assert [event.version for event in store.read_all()] == [1, 2]


UNREADABLE = [
    b'{"id":"a","version":1,"type":"x","b":"\xff"}',
    b'{"id":"a","version":1,"type":"x","b":' + b"[" * 5000 + b"]" * 5000 + b"}",
]


@pytest.mark.parametrize("event", UNREADABLE)
@pytest.mark.parametrize("decodes", [False, True])
def test_an_entry_that_cannot_be_decoded_is_named(
    lab: Lab, store: EventStore, event: bytes, decodes: bool
) -> None:
    position = store.redis.xadd(store.category, {"event": event}).decode()
    read_by = EventStore(lab.redis if decodes else store.redis, store.category)
    assert read_by.head() == position
    for call in (read_by.adopt, lambda: list(read_by.read_all())):
        with pytest.raises(CorruptEvent) as corrupt:
            call()
        assert corrupt.value.where == position


@pytest.mark.parametrize("decodes", [False, True])
def test_a_field_of_somebody_else_s_may_hold_any_bytes(
    lab: Lab, store: EventStore, decodes: bool
) -> None:
    entry = {"event": '{"id":"a","version":1,"type":"x"}', "picture": b"\xff\xd8"}
    position = store.redis.xadd(store.category, entry).decode()
    read_by = EventStore(lab.redis if decodes else store.redis, store.category)
    read_by.wait(after="0-0", seconds=5)
    assert not read_by.lacks(position)
    assert read_by.adopt() == 1
    assert read_by.read("a") == list(read_by.read_all())


def test_until_it_is_adopted_no_read_pretends_that_there_is_nothing(store: EventStore) -> None:
    write(store, *DOUBLED[:2])
    with pytest.raises(NotAdopted):
        store.read("JohnDoe", after=1)
