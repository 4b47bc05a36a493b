"""Health, readiness, outages and internal errors."""

from __future__ import annotations

import pymongo
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from eventlab import EventStore
from eventlab.accounts import AccountService
from eventlab.accounts.http.app import create_app
from tests.support.accounts_api import (
    Served,
    in_a_thread,
    message,
)


def test_healthy_service_is_alive_and_ready(api: Served) -> None:
    for path in ("/healthz", "/readyz"):
        assert (api.get(path).status_code, api.get(path).text) == (200, '{"status":"ok"}')


def test_outage_of_redis_or_mongodb_is_503(service: AccountService, category: str) -> None:
    nobody = redis.Redis(unix_socket_path="/nowhere", retry=Retry(NoBackoff(), 0))
    mongo = pymongo.MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=100)
    lost = AccountService(EventStore(nobody, category))
    with (
        mongo,
        in_a_thread(create_app(lost)) as url,
        in_a_thread(create_app(service, mongo.x[category])) as half,
    ):
        responses = [
            requests.get(f"{url}/accounts/a", timeout=30),
            requests.post(
                f"{url}/accounts", json={"id": "a"}, headers={"Idempotency-Key": "k"}, timeout=30
            ),
            requests.get(f"{url}/readyz", timeout=30),
            requests.get(f"{half}/readyz", timeout=30),
            requests.get(f"{half}/accounts", timeout=30),
        ]
        assert [response.status_code for response in responses] == [503] * 5
        assert [message(response).split()[0] for response in responses] == ["Redis"] * 3 + [
            "MongoDB"
        ] * 2
        assert requests.get(f"{url}/healthz", timeout=30).ok


def test_internal_error_is_answered_in_the_same_form(service: AccountService) -> None:
    service.accounts.store.redis.rpush(service.accounts.store.keys.log("a"), "no event")
    with in_a_thread(create_app(service)) as url:
        response = requests.get(f"{url}/accounts/a", headers={"X-Correlation-Id": "me"}, timeout=30)
    assert (response.status_code, response.headers["X-Correlation-Id"]) == (500, "me")
    assert message(response).endswith("(correlation id me)")
