"""Reads: one aggregate or the whole category, in parts, backwards, and without guessing."""

from __future__ import annotations

from typing import Any

import pytest

from eventlab import NEW, CorruptEvent, Event, EventStore, InvalidArgument
from eventlab.servers import Lab
from tests.support.store import append_deposits, deposits


def test_read_works_in_both_directions(store: EventStore) -> None:
    append_deposits(store, "a", 12)

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


def test_read_all_resumes_from_a_position(store: EventStore) -> None:
    positions = append_deposits(store, "a", 2500)
    assert [event.position for event in store.read_all(after=positions[1200])] == positions[1201:]
    assert [event.position for event in store.read_all(limit=1500)] == positions[:1500]
    assert list(store.read_all(after=positions[-1])) == []
    with pytest.raises(InvalidArgument):
        list(store.read_all(after="yesterday"))


def test_client_that_decodes_responses_reads_the_same(lab: Lab, store: EventStore) -> None:
    recorded = store.append("a", [Event("é", {"text": "ü🐍", "n": 2**60, "f": 0.1})], expected=NEW)
    decoding = EventStore(lab.redis, store.category)
    assert decoding.read("a") == list(decoding.read_all()) == recorded
    assert decoding.append("a", deposits(1), expected=1) == store.read("a", after=1)
    assert (decoding.ids(), decoding.head()) == (store.ids(), store.head())


def test_ids_and_drop_cover_many_aggregates(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"a{n:04}" for n in range(1500)]
    for id in ids:
        store.append(id, [Event("x")], expected=NEW)
    assert store.ids() == ids
    monkeypatch.setattr("eventlab.store.store.KEYS_PAGE", 100)
    store.drop()
    assert list(store.redis.scan_iter(match=store.keys.pattern(), count=1000)) == []


@pytest.mark.parametrize("number", [-1, True, 1.5, float("nan"), "1", 2**70])
@pytest.mark.parametrize("reverse", [False, True])
def test_read_rejects_a_bad_count(store: EventStore, number: Any, reverse: bool) -> None:
    for call in (
        lambda: store.read("a", after=number, reverse=reverse),
        lambda: store.read("a", limit=number, reverse=reverse),
        lambda: store.read_all(limit=number),
    ):
        with pytest.raises(InvalidArgument, match=r"must be an integer"):
            call()


def test_read_and_trim_reject_a_position_that_redis_cannot_hold(store: EventStore) -> None:
    store.append("a", deposits(1), expected=NEW)
    for position in ("99999999999999999999-0", "1-18446744073709551616"):
        for call in (
            lambda p=position: store.trim(before=p),
            lambda p=position: store.read_all(after=p),
        ):
            with pytest.raises(InvalidArgument, match="position"):
                call()


UNREADABLE = [
    b'{"id":"a","version":1,"type":"x","b":"\xff"}',
    b'{"id":"a","version":1,"type":"x","b":' + b"[" * 5000 + b"]" * 5000 + b"}",
]


@pytest.mark.parametrize("event", UNREADABLE)
@pytest.mark.parametrize("decodes", [False, True])
def test_read_all_and_adopt_name_an_entry_that_cannot_be_decoded(
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
def test_foreign_field_of_an_entry_may_have_any_bytes(
    lab: Lab, store: EventStore, decodes: bool
) -> None:
    entry = {"event": '{"id":"a","version":1,"type":"x"}', "picture": b"\xff\xd8"}
    position = store.redis.xadd(store.category, entry).decode()
    read_by = EventStore(lab.redis if decodes else store.redis, store.category)
    read_by.wait(after="0-0", seconds=5)
    assert not read_by.lacks(position)
    assert read_by.adopt() == 1
    assert read_by.read("a") == list(read_by.read_all())
