"""An append or a trim by a user without a permission is rejected before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from eventlab import NEW, EventStore
from eventlab.store.answers import misconfiguration
from tests.support.store import append_deposits, contents, deposits

WRITES = "append needs permission to run XADD, RPUSH, SADD and SET|ACL failure"


@contextmanager
def without(store: EventStore, *commands: str) -> Iterator[EventStore]:
    """Yield the store as a user who may do everything else sees it."""
    name = f"user-{store.category}"
    rules = [f"-{command}" for command in commands]
    store.redis.execute_command("ACL", "SETUSER", name, "on", ">p", "~*", "+@all", *rules)
    path = store.redis.connection_pool.connection_kwargs["path"]
    try:
        with redis.Redis(unix_socket_path=path, username=name, password="p") as client:
            yield EventStore(client, store.category)
    finally:
        store.redis.execute_command("ACL", "DELUSER", name)


@pytest.mark.parametrize("command", ["xadd", "rpush", "sadd", "set"])
def test_append_without_a_permission_writes_nothing(store: EventStore, command: str) -> None:
    append_deposits(store, "b", 1)
    before = contents(store)
    with without(store, command) as weak:
        with pytest.raises(redis.exceptions.ResponseError, match=WRITES) as refused:
            weak.append("a", deposits(1), expected=NEW, idempotency_key="k")
        assert misconfiguration(refused.value) is not None
    assert contents(store) == before
    assert store.append("a", deposits(1), expected=NEW, idempotency_key="k")[0].version == 1


def test_append_needs_only_the_permissions_that_it_uses(store: EventStore) -> None:
    append_deposits(store, "a", 1)
    with without(store, "sadd", "set") as weak:
        assert weak.append("a", deposits(1), expected=1)[0].version == 2


@pytest.mark.parametrize("command", ["xtrim", "hset", "hincrby"])
def test_trim_without_a_permission_drops_nothing(store: EventStore, command: str) -> None:
    positions = append_deposits(store, "a", 3)
    before = contents(store)
    with without(store, command) as weak, pytest.raises(redis.exceptions.ResponseError):
        weak.trim(before=positions[2])
    assert contents(store) == before
    assert store.trim(before=positions[2]) == 2


@pytest.mark.parametrize("command", ["rpush", "sadd", "rename", "hset"])
def test_adopt_without_a_permission_publishes_nothing_and_can_be_repeated(
    store: EventStore, command: str
) -> None:
    append_deposits(store, "a", 3)
    store.redis.delete(store.keys.ids, store.keys.log("a"))
    with without(store, command) as weak, pytest.raises(redis.exceptions.ResponseError):
        weak.adopt()
    assert store.adopt() == 3
    assert store.append("a", deposits(1), expected=3)[0].version == 4
