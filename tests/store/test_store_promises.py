"""Promises of the store and of adoption at full size: each test fails when the line that keeps it is broken."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from eventlab import (
    NEW,
    AdoptionRefused,
    Event,
    EventStore,
    InvalidEvent,
    NotAdopted,
    TokenReused,
    Trimmed,
)
from eventlab.store.scripts import Script


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    return EventStore(redis_client, category)


def write(store: EventStore, aggregates: int, versions: int) -> None:
    """What the original writes, in so many aggregates that one page does not hold it."""
    with store.redis.pipeline(transaction=False) as pipeline:
        for n in range(aggregates * versions):
            entry = f'{{"id":"a{n % aggregates}","version":{n // aggregates + 1},"type":"x"}}'
            pipeline.xadd(store.category, {"event": entry}, id=f"{n + 1}-0")
        pipeline.execute()


@pytest.mark.parametrize(("aggregates", "versions"), [(1, 2500), (1300, 2)])
def test_a_stream_of_many_pages_is_adopted_whole(
    store: EventStore, aggregates: int, versions: int
) -> None:
    write(store, aggregates, versions)
    assert store.adopt() == aggregates * versions
    assert store.ids() == sorted(f"a{n}" for n in range(aggregates))
    own = [event for id in store.ids() for event in store.read(id)]
    assert sorted(own, key=lambda event: int(event.position[:-2])) == list(store.read_all())


def test_the_ids_of_an_adopted_stream_are_there_all_at_once(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, 1300, 1)
    plain, calls = redis.Redis.sadd, iter([True, False])

    def dies_on_the_way(self: redis.Redis, *args: Any) -> Any:
        if not next(calls):
            raise KeyboardInterrupt
        return plain(self, *args)

    monkeypatch.setattr(redis.Redis, "sadd", dies_on_the_way)
    with pytest.raises(KeyboardInterrupt):
        store.adopt()
    monkeypatch.undo()
    with pytest.raises(NotAdopted):
        store.append("new", [Event("x")], expected=NEW)
    assert store.adopt() == 1300
    assert len(store.ids()) == 1300


def test_an_own_log_of_other_events_is_not_adopted(store: EventStore) -> None:
    store.append("a0", [Event("x"), Event("y")], expected=NEW)
    store.redis.delete(store.category)
    write(store, 1, 3)
    before = store.redis.lrange(store.keys.log("a0"), 0, -1)
    with pytest.raises(AdoptionRefused, match="aggregate log") as refused:
        store.adopt()
    assert (refused.value.position, refused.value.version) == ("1-0", 1)
    assert store.redis.lrange(store.keys.log("a0"), 0, -1) == before


def test_a_row_is_never_put_behind_a_hole(store: EventStore) -> None:
    log = store.keys.log("a")
    assert Script("store/adopt")(store.redis, [log], [2, "2-0", '["2-0","x",{},""]']) == 2
    assert not store.redis.exists(log)


def test_a_meta_over_the_limit_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidEvent, match="meta"):
        store.append("a", [Event("x", {}, {"note": "n" * 1_048_577})], expected=NEW)
    assert store.version("a") == 0


def test_a_token_with_another_meta_is_for_another_event(store: EventStore) -> None:
    store.append("a", [Event("x", {}, {"correlation_id": "c1"})], expected=NEW, token="t")
    for meta in ({"correlation_id": "c2"}, None):
        with pytest.raises(TokenReused):
            store.append("a", [Event("x", {}, meta)], expected=NEW, token="t")


def test_a_trim_between_a_reader_s_two_looks_is_told(store: EventStore) -> None:
    positions = [event.position for event in store.append("a", [Event("x")] * 10, expected=NEW)]
    trimmer = EventStore(store.redis, store.category)

    class Overtaken:
        """A client in front of whose read somebody trims."""

        def __getattr__(self, name: str) -> Any:
            plain = getattr(trimmer.redis, name)

            def call(*args: Any, **options: Any) -> Any:
                if args[0] == "XRANGE":
                    trimmer.trim(before=positions[5])
                return plain(*args, **options)

            return call if name == "execute_command" else plain

    reader = EventStore(Overtaken(), store.category)  # type: ignore[arg-type]
    with pytest.raises(Trimmed):
        list(reader.read_all())


def test_all_ids_are_given_and_dropped_however_many(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"a{n:04}" for n in range(1500)]
    for id in ids:
        store.append(id, [Event("x")], expected=NEW)
    assert store.ids() == ids
    monkeypatch.setattr("eventlab.store.store.PAGE", 100)
    store.drop()
    assert list(store.redis.scan_iter(match=store.keys.pattern(), count=1000)) == []


@pytest.mark.parametrize("sign", ["*", "?", "[b]", "\\b"])
def test_a_drop_takes_the_name_to_the_letter(store: EventStore, sign: str) -> None:
    odd, neighbour = (EventStore(store.redis, f"{store.category}{end}") for end in (sign, "b"))
    for each in (odd, neighbour):
        each.append("a", [Event("x")], expected=NEW)
    odd.drop()
    assert (odd.version("a"), neighbour.version("a")) == (0, 1)
