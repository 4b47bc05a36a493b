"""Trimming and dropping: no event disappears silently, and none that a group needs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import redis

from eventlab import NEW, Event, EventStore, Trimmed, TrimRefused
from eventlab.lessons import lossy
from tests.support.store import append_deposits, contents, deposits


def test_trim_drops_from_the_stream_only_and_late_readers_fail(store: EventStore) -> None:
    positions = append_deposits(store, "a", 10)
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


def test_read_all_fails_when_a_trim_overtakes_it(store: EventStore) -> None:
    positions = append_deposits(store, "a", 3000)
    reader = store.read_all()
    list(itertools.islice(reader, 10))
    store.trim(before=positions[2500])
    with pytest.raises(Trimmed):
        list(reader)


def test_read_all_fails_when_a_trim_runs_between_its_two_commands(store: EventStore) -> None:
    positions = [event.position for event in store.append("a", [Event("x")] * 10, expected=NEW)]
    trimmer = EventStore(store.redis, store.category)

    class Overtaken:
        """A client that is trimmed just before each XRANGE."""

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


def test_read_all_fails_after_a_trim_by_another_program(store: EventStore) -> None:
    positions = append_deposits(store, "a", 10)
    store.trim(before=positions[2])
    store.redis.xtrim(store.category, maxlen=5, approximate=False)
    with pytest.raises(Trimmed):
        list(store.read_all(after=positions[1]))
    assert len(list(store.read_all(after=positions[5]))) == 4


def test_trim_is_rejected_until_every_group_has_finished(store: EventStore) -> None:
    positions = append_deposits(store, "a", 10)
    store.redis.xgroup_create(store.category, "behind", id=positions[1])
    store.redis.xgroup_create(store.category, "pending", id="0")
    store.redis.xreadgroup("pending", "consumer", {store.category: ">"}, count=10)
    store.redis.xack(store.category, "pending", *positions[:3])
    with pytest.raises(TrimRefused) as refusal:
        store.trim(before=positions[5])
    assert (refusal.value.group, refusal.value.position) == ("behind", positions[2])
    assert store.trim(before=positions[2]) == 2
    assert store.forget_group("behind")
    with pytest.raises(TrimRefused) as refusal:
        store.trim(before=positions[5])
    assert (refusal.value.group, refusal.value.position) == ("pending", positions[3])
    assert store.trim(before=positions[3]) == 1
    assert store.forget_group("pending")
    assert not store.forget_group("pending")
    assert store.trim(before=positions[5]) == 2


def test_trim_takes_a_short_position_as_its_first_event(
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


def test_drop_leaves_nothing_and_touches_nothing_else(
    store: EventStore, redis_client: redis.Redis
) -> None:
    neighbour = EventStore(redis_client, store.category + "2")
    append_deposits(neighbour, "a", 2)
    append_deposits(store, "a", 2)
    store.append("a", deposits(1), expected=2, idempotency_key="k")
    store.trim(before=store.head())
    store.drop()
    assert contents(store) == {}
    assert (store.version("a"), store.ids(), store.head()) == (0, [], "0-0")
    assert len(neighbour.read("a")) == 2
    assert store.append("a", deposits(1), expected=NEW)[0].version == 1
    neighbour.drop()


@pytest.mark.parametrize("sign", ["*", "?", "[b]", "\\b"])
def test_drop_takes_the_name_literally(store: EventStore, sign: str) -> None:
    odd = EventStore(store.redis, f"{store.category}{sign}")
    neighbour = EventStore(store.redis, f"{store.category}b")
    for each in (odd, neighbour):
        each.append("a", [Event("x")], expected=NEW)
    odd.drop()
    assert (odd.version("a"), neighbour.version("a")) == (0, 1)


def test_trim_returns_what_it_dropped_when_its_answer_is_lost(
    store: EventStore, tmp_path: Path
) -> None:
    positions = append_deposits(store, "a", 10)
    path = store.redis.connection_pool.connection_kwargs["path"]
    with lossy(tmp_path / "p", path) as proxy, redis.Redis(unix_socket_path=proxy.path) as client:
        through = EventStore(client, store.category)
        through.trim(before=positions[1])
        proxy.lose(2, b"EVALSHA")
        assert through.trim(before=positions[5]) == 4
        assert proxy.lost == 2
    assert store.trim(before=positions[5]) == 0
