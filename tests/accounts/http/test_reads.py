"""Reading accounts and their events over HTTP."""

from __future__ import annotations

import time
from datetime import timedelta
from urllib.parse import quote

import pytest
import requests

from tests.support.accounts_api import (
    Served,
    message,
)


@pytest.mark.parametrize(
    "path", ["", "/deposits", "/withdrawals", "/events", "?version=1", "?at=2030-01-01T00:00:00Z"]
)
def test_unknown_account_is_404_on_every_route(api: Served, path: str) -> None:
    url = f"/accounts/nobody{path}"
    response = (
        api.post(url, {"amount": 1}, If_Match='"1"')
        if path[1:] in ("deposits", "withdrawals")
        else api.get(url)
    )
    assert (response.status_code, message(response)) == (
        404,
        "account 'nobody' does not exist: create it first",
    )


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/", 404), ("GET", "/accounts/", 404), ("PUT", "/accounts", 405)],
)
def test_unknown_route_is_answered_in_the_same_form(
    api: Served, method: str, path: str, code: int
) -> None:
    response = requests.request(method, api.url + path, timeout=30, allow_redirects=False)
    assert response.status_code == code
    assert message(response)
    assert code != 405 or response.headers["Allow"] == "GET, HEAD, POST"


def test_account_is_read_at_a_version_and_at_a_time(api: Served) -> None:
    id = api.opened(100)
    time.sleep(0.002)  # a position counts in milliseconds
    api.post(f"/accounts/{id}/withdrawals", {"amount": 30})
    created, deposited, withdrawn = api.store.read(id)
    assert [
        api.get(f"/accounts/{id}?version={version}").json()["funds"] for version in (1, 2, 3)
    ] == [0, 100, 70]
    assert api.get(f"/accounts/{id}?version=2").headers["ETag"] == '"2"'
    for moment, funds in (
        (deposited.time, 100),
        (withdrawn.time, 70),
        (withdrawn.time + timedelta(days=1), 70),
    ):
        at = quote(moment.isoformat())
        assert api.get(f"/accounts/{id}?at={at}").json()["funds"] == funds
    early = api.get(f"/accounts/{id}?at={quote((created.time - timedelta(seconds=1)).isoformat())}")
    assert early.status_code == 404
    late = api.get(f"/accounts/{id}?version=4")
    assert (late.status_code, message(late)) == (
        404,
        f"version: account '{id}' is at version 3; version 4 does not exist yet",
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("version=0", "version"),
        ("version=-1", "version"),
        ("version=x", "version"),
        ("version=9007199254740993", "version"),
        ("version=" + "9" * 5000, "version"),
        ("version=", "version"),
        ("at=yesterday", "at"),
        ("at=2026-01-01T00:00:00", "at"),
        ("at=2026-01-01T00:00:00+01:00", "at"),  # + is a space in a query
        ("at=", "at"),
        ("version=1&at=2026-01-01T00:00:00Z", "version, at"),
    ],
)
def test_invalid_version_or_time_is_named(api: Served, query: str, field: str) -> None:
    response = api.get(f"/accounts/{api.opened()}?{query}")
    assert response.status_code == 400
    assert message(response).startswith(f"{field}: ")


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "2026-W01-1T00Z"]
)
def test_extreme_time_is_not_a_server_error(api: Served, at: str) -> None:
    assert api.get(f"/accounts/{api.opened()}?at={at}").status_code in (200, 404)


def test_events_of_an_account_are_paged(api: Served) -> None:
    id = api.opened()
    for amount in range(1, 7):
        api.post(f"/accounts/{id}/deposits", {"amount": amount}, X_Correlation_Id=f"c{amount}")
    seen, after = [], 0
    while after is not None:
        page = api.get(f"/accounts/{id}/events?after={after}&limit=3").json()
        assert (page["id"], len(page["events"]) <= 3) == (id, True)
        seen += page["events"]
        after = page["next"]
    assert [event["version"] for event in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert seen[6] == {
        "version": 7,
        "type": "deposit",
        "timestamp": api.store.read(id)[6].position,
        "data": {"amount": 6},
        "meta": {"correlation_id": "c6"},
    }
    assert api.get(f"/accounts/{id}/events?after=7").json() == {
        "id": id,
        "events": [],
        "next": None,
    }
    for query, field in (
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=-1", "after"),
        ("after=a", "after"),
    ):
        rejected = api.get(f"/accounts/{id}/events?{query}")
        assert rejected.status_code == 400
        assert message(rejected).startswith(f"{field}: ")
