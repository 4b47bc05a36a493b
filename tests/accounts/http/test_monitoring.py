"""The routes for monitoring: metrics, and whether the views keep up."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pymongo
import pytest
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from eventlab import EventStore, Projector
from eventlab.accounts import AccountService, AccountView
from eventlab.accounts.http import threads
from eventlab.accounts.http.app import create_app
from eventlab.accounts.http.monitoring import Monitoring
from eventlab.observe.lag import MaxLag, ViewState
from eventlab.observe.metrics import Metrics, category_metrics
from eventlab.servers import Lab
from tests.support.accounts_api import Served, in_a_thread, message, serving
from tests.support.metrics import samples
from tests.support.store import append_deposits
from tests.support.waiting import wait_until

CONFLICTS = "eventlab_version_conflicts_total"
RETRIES = "eventlab_retries_total"


def metrics_of(api: Served) -> dict[Any, float]:
    response = api.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return samples(response.content)


@pytest.mark.long
def test_metrics_of_two_workers_are_those_of_the_service(lab: Lab, category: str) -> None:
    with serving(lab, category, workers=2) as api:
        id = api.opened()
        with ThreadPoolExecutor(8) as clients:
            deposits = [
                clients.submit(api.post, f"/accounts/{id}/deposits", {"amount": 1})
                for _ in range(200)
            ]
            assert all(deposit.result().ok for deposit in deposits)
        # Each request is a connection of its own: whichever worker answers says the same.
        answers = [metrics_of(api) for _ in range(20)]
        assert all(answer == answers[0] for answer in answers)
        found = answers[0]
        assert found["eventlab_events_appended_total", (category,)] == 201
        assert found[CONFLICTS, ()] == found[RETRIES, ()] > 0


@pytest.mark.long
def test_counters_survive_the_death_of_a_worker(lab: Lab, category: str) -> None:
    with serving(lab, category, workers=2) as api:
        id = api.opened()
        with ThreadPoolExecutor(8) as clients:
            list(clients.map(
                lambda _: api.post(f"/accounts/{id}/deposits", {"amount": 1}), range(100)
            ))  # fmt: skip
        before = metrics_of(api)[RETRIES, ()]
        parent = psutil.Process(api.process.pid)
        workers = [
            child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())
        ]
        assert len(workers) == 2
        for worker in workers:
            worker.kill()
        wait_until(lambda: api_answers(api))
        assert metrics_of(api)[RETRIES, ()] == before > 0


def api_answers(api: Served) -> bool:
    try:
        return api.get("/readyz").ok
    except requests.ConnectionError:
        return False


def test_views_are_healthy_until_one_lags_for_too_long(lab: Lab, category: str, mongo: Any) -> None:
    limits = ["--max-lag=2", "--max-lag-seconds=0.001"]
    with serving(lab, category, *limits) as api:
        assert api.get("/healthz/views").json() == {"status": "ok"}
        # At a time long ago: the lag in seconds is above any limit.
        old = EventStore(lab.redis, category, clock=lambda: 1_000)
        append_deposits(old, "a", 1)
        with Projector(api.store, mongo, AccountView(category)) as projector:
            projector.catch_up()
        append_deposits(old, "a", 2)
        assert api.get("/healthz/views").ok
        append_deposits(old, "a", 1)
        late = api.get("/healthz/views")
        assert late.status_code == 503
        lags = f"view {category} lags by 3 events; the oldest has waited for "
        assert message(late).startswith(lags)
        found = metrics_of(api)
        assert found["eventlab_view_lag_events", (category,)] == 3
        assert api.get("/readyz").ok


def test_outages_are_counted_and_the_counters_outlive_them(
    service: AccountService, category: str
) -> None:
    nobody = redis.Redis(unix_socket_path="/nowhere", retry=Retry(NoBackoff(), 0))
    lost = AccountService(EventStore(nobody, category))
    metrics = Metrics(category_metrics(lost.accounts.store))

    def states() -> list[ViewState]:
        raise pymongo.errors.AutoReconnect("secret: an address")

    app = create_app(lost, monitoring=Monitoring(metrics, states, MaxLag(0, 1)))
    with in_a_thread(app) as url:
        assert requests.get(f"{url}/accounts/a", timeout=30).status_code == 503
        views = requests.get(f"{url}/healthz/views", timeout=30)
        assert (views.status_code, message(views).split()[0]) == (503, "MongoDB")
        found = samples(requests.get(f"{url}/metrics", timeout=30).content)
    assert found["eventlab_outages_total", ("Redis",)] == 1
    assert found["eventlab_outages_total", ("MongoDB",)] == 1
    assert found["eventlab_unavailable", ()] == 1


def test_metrics_do_not_wait_for_a_server_that_hangs(
    service: AccountService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "CALL_SECONDS", 0.05)
    end = threading.Event()

    def hanging() -> Any:
        end.wait()
        return iter(())

    metrics = Metrics(hanging)
    metrics.count_applied("v", 7)
    app = create_app(service, monitoring=Monitoring(metrics, list, None))
    try:
        with in_a_thread(app) as url:
            found = samples(requests.get(f"{url}/metrics", timeout=30).content)
    finally:
        end.set()
    assert found["eventlab_events_applied_total", ("v",)] == 7
    assert ("eventlab_unavailable", ()) not in found
