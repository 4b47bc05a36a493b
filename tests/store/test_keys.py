"""Keys: one slot per category, and no id or name that can collide with another key."""

from __future__ import annotations

import pytest
import redis

from eventlab import NEW, EventStore, InvalidName
from tests.support.store import deposits


def test_every_key_of_a_category_hashes_like_its_stream(store: EventStore) -> None:
    store.append("a", deposits(1), expected=NEW, idempotency_key="k")
    keys = list(store.redis.scan_iter(match=f"*{store.category}*"))
    slots = {redis.cluster.key_slot(key) for key in keys}
    assert len(keys) == 4
    assert slots == {redis.cluster.key_slot(store.category.encode())}


@pytest.mark.parametrize(
    "id", ["accountStream", "ids", "/ids", "{x}", "a:b", "../x", "🐍", "\x00", "مرحبا", "x" * 512]
)
def test_any_id_names_only_its_own_aggregate(store: EventStore, id: str) -> None:
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


@pytest.mark.parametrize("category", ["", "{a}", "a}", "x" * 600])
def test_store_rejects_a_bad_category(redis_client: redis.Redis, category: str) -> None:
    with pytest.raises(InvalidName):
        EventStore(redis_client, category)


def test_idempotency_keys_of_two_ids_never_meet(store: EventStore) -> None:
    store.append("a", deposits(1), expected=NEW, idempotency_key="b:c")
    assert store.seen("a:b", "c") is None
