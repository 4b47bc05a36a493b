"""Which clients a store takes, and how long it lets them block."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis
import redis.asyncio

from eventlab import NEW, Event, EventStore, InvalidArgument
from eventlab.servers import Lab
from tests.support.waiting import wait_until


def path_of(client: redis.Redis) -> str:
    path = client.connection_pool.connection_kwargs["path"]
    assert isinstance(path, str)
    return path


def test_store_rejects_what_is_not_a_client(redis_client: redis.Redis, category: str) -> None:
    unusable: list[tuple[Any, str]] = [
        (redis.asyncio.Redis(), "for asyncio"),
        (redis.asyncio.RedisCluster(host="127.0.0.1"), "for asyncio"),
        (redis_client.pipeline(), "a Pipeline is not a client"),
        ("redis://:secret@127.0.0.1", "a str is not a client"),
    ]
    for client, words in unusable:
        with pytest.raises(InvalidArgument, match=words) as error:
            EventStore(client, category)
        assert "secret" not in str(error.value)


def test_store_rejects_a_client_that_decodes_names_as_something_else(
    redis_client: redis.Redis, category: str
) -> None:
    with (
        redis.Redis(
            unix_socket_path=path_of(redis_client), decode_responses=True, encoding="latin-1"
        ) as client,
        pytest.raises(InvalidArgument, match="decodes names as latin-1: use utf-8"),
    ):
        EventStore(client, category)
    with redis.Redis(
        unix_socket_path=path_of(redis_client), decode_responses=True, encoding="UTF8"
    ) as client:
        store = EventStore(client, category)
        store.append("Jörg", [Event("create")], expected=NEW)
        assert store.ids() == ["Jörg"]


class Recording(redis.Redis):
    """A client that records how many milliseconds each XREAD may block."""

    blocks: list[int]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "XREAD":
            self.blocks.append(args[args.index("BLOCK") + 1])
        return super().execute_command(*args, **options)


def test_wait_blocks_for_at_most_half_of_the_socket_timeout(
    redis_client: redis.Redis, category: str
) -> None:
    """Redis then has the other half for its reply; otherwise, the client would time out."""
    with Recording(unix_socket_path=path_of(redis_client), socket_timeout=20) as client:
        client.blocks = []
        store = EventStore(client, category)
        waiter = threading.Thread(target=store.wait, kwargs={"after": "0-0", "seconds": 60})
        waiter.start()
        try:
            assert set(wait_until(lambda: client.blocks)) == {10_000}
        finally:
            EventStore(redis_client, category).append("a", [Event("create")], expected=NEW)
            waiter.join()


def test_wait_continues_when_redis_unblocks_its_readers(lab: Lab, store: EventStore) -> None:
    name = f"waiting-{store.category}"
    with redis.Redis(unix_socket_path=path_of(store.redis), client_name=name) as client:
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                EventStore(client, store.category).wait(after="0-0", seconds=60)
            except redis.RedisError as error:
                errors.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        unblocked = wait_until(lambda: _blocked(store.redis, name))
        assert store.redis.execute_command("CLIENT", "UNBLOCK", unblocked, "ERROR") == 1
        assert wait_until(lambda: errors or _blocked(store.redis, name)) == unblocked
        store.append("a", [Event("create")], expected=NEW)
        waiter.join(60)
        assert not waiter.is_alive()


def _blocked(client: redis.Redis, name: str) -> int | None:
    found = (
        int(each["id"])
        for each in client.client_list()
        if each["name"] == name and "b" in each["flags"]
    )
    return next(found, None)
