"""Fixtures of the tests of the account service."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis

from eventlab import EventStore
from eventlab.accounts import AccountService
from eventlab.accounts.http import threads
from eventlab.servers import Lab
from tests.support.accounts_api import CALL_SECONDS, Served, serving


@pytest.fixture(scope="package")
def api(lab: Lab) -> Iterator[Served]:
    category = f"api_{uuid.uuid4().hex}"
    with serving(lab, category) as served:
        yield served
    served.store.drop()
    served.view.drop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an app in this process wait longer for Redis and MongoDB, since any may stall."""
    monkeypatch.setattr(threads, "CALL_SECONDS", CALL_SECONDS)


@pytest.fixture
def service(redis_client: redis.Redis, category: str, patient: None) -> AccountService:
    return AccountService(EventStore(redis_client, category))
