"""Fixtures of the tests of the account service."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis

from eventlab import EventStore
from eventlab.accounts import AccountService
from eventlab.servers import Lab
from tests.support.accounts_api import (
    Served,
    serving,
)


@pytest.fixture(scope="package")
def api(lab: Lab) -> Iterator[Served]:
    category = f"api_{uuid.uuid4().hex}"
    with serving(lab, category) as served:
        yield served
    served.store.drop()
    served.view.drop()


@pytest.fixture
def service(redis_client: redis.Redis, category: str) -> AccountService:
    return AccountService(EventStore(redis_client, category))
