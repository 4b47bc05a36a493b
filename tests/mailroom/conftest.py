"""Fixtures of the router's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.crash_servers import RedisServer
from tests.support.mailroom import Room, room


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that writes to disk before it responds, so a router does not have to wait."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def here(server: RedisServer, category: str) -> Iterator[Room]:
    """A router, and the fake servers around it, with a separate category."""
    with server.client() as client, room(client, category) as made:
        yield made
