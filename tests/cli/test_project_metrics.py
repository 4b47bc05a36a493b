"""``eventlab project --metrics``: metrics and health of the projectors."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from eventlab import ANY, Event, EventStore
from tests.support import command
from tests.support.metrics import samples
from tests.support.store import append_deposits
from tests.support.waiting import PATIENCE_SECONDS, wait_until


@contextmanager
def projecting(category: str, *words: str) -> Iterator[str]:
    """Run ``eventlab project`` with metrics on any free port; yield their URL."""
    own = ["project", f"--category={category}", f"--collection={category}", "--metrics=0"]
    with command.start(*own, *words) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        try:
            yield next(found[1] for line in lines if (found := re.search("(http.*)/metrics", line)))
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) in (0, 1)
        finally:
            process.kill()


def read(url: str) -> dict[Any, float]:
    return samples(requests.get(f"{url}/metrics", timeout=30).content)


def test_project_serves_what_it_applied_and_its_health(store: EventStore) -> None:
    with projecting(store.category, "--view=accounts", "--view=by_type") as url:
        append_deposits(store, "a", 3)
        applied = ("eventlab_events_applied_total", (store.category,))
        wait_until(lambda: read(url).get(applied) == 3)
        found = read(url)
        assert found["eventlab_events_appended_total", (store.category,)] == 3
        assert found["eventlab_view_lag_events", (store.category,)] == 0
        assert found["eventlab_view_stopped", (f"{store.category}_by_type",)] == 0
        health = health_of(url)
        assert (health.status_code, health.json()) == (200, {"status": "ok"})


def test_project_is_unhealthy_while_a_view_has_stopped(store: EventStore) -> None:
    store.append("a", [Event("create"), Event("bonus", {"amount": 5})], expected=ANY)
    with projecting(store.category) as url:
        stopped = f"view {store.category} has stopped: see the log"
        wait_until(lambda: stopped in health_of(url).json().get("problems", []))
        assert health_of(url).status_code == 503
        assert read(url)["eventlab_view_stopped", (store.category,)] == 1


def health_of(url: str) -> requests.Response:
    return requests.get(f"{url}/healthz", timeout=30)


def test_metrics_serve_loopback_names_only_and_nothing_else(store: EventStore) -> None:
    with projecting(store.category) as url:
        foreign = {"Host": "evil.example"}
        assert requests.get(f"{url}/metrics", headers=foreign, timeout=30).status_code == 400
        assert requests.post(f"{url}/metrics", timeout=30).status_code == 405
        assert requests.get(f"{url}/", timeout=30).status_code == 404


def test_project_says_that_the_port_for_metrics_is_taken(category: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, error = command.run("project", f"--category={category}", f"--metrics={port}")
    assert status == 1
    assert f"cannot serve metrics on port {port}" in error


@pytest.mark.parametrize(
    "words",
    [["--max-lag=1"], ["--metrics=0", "--status"], ["--metrics=0", "--rebuild=accounts"]],
)
def test_project_rejects_options_that_contradict_each_other(words: list[str]) -> None:
    assert command.run("project", *words)[0] == 2
