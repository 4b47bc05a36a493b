"""The list of accounts over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from bson import Decimal128, Int64

from eventlab import EventStore, Projector
from eventlab.accounts import AccountService, AccountView
from eventlab.accounts.http.app import create_app
from eventlab.servers import Lab
from tests.support.accounts_api import (
    Served,
    in_a_thread,
    message,
)


def all_pages(url: str, sort: str) -> list[dict[str, Any]]:
    """Return the accounts of all pages, two on each."""
    seen, query = [], {"sort": sort, "limit": "2"}
    while True:
        page = requests.get(f"{url}/accounts", query, timeout=30).json()
        assert len(page["accounts"]) <= 2
        seen += page["accounts"]
        if page["next"] is None:
            return seen
        query["after"] = page["next"]


def test_listing_reads_the_view_sorted_and_paged(
    lab: Lab, service: AccountService, category: str
) -> None:
    for number, funds in enumerate([30, 10, 20, 10, 10, 0, 30]):
        service.create(f"a{number}")
        if funds:
            service.deposit(f"a{number}", funds)
    with in_a_thread(create_app(service, lab.mongo[category])) as url:
        assert all_pages(url, "id") == []
        with Projector(
            EventStore(lab.redis, category), lab.mongo, AccountView(category)
        ) as projector:
            projector.catch_up()
        by_id = [vars(service.fetch(f"a{number}")) for number in range(7)]
        by_funds = sorted(by_id, key=lambda account: (account["funds"], account["id"]))
        assert [all_pages(url, sort) for sort in ("id", "-id")] == [by_id, by_id[::-1]]
        assert [all_pages(url, sort) for sort in ("funds", "-funds")] == [by_funds, by_funds[::-1]]
        place = requests.get(f"{url}/accounts?limit=1&sort=id", timeout=30).json()["next"]
        other = requests.get(f"{url}/accounts?sort=funds&after={place}", timeout=30)
        assert (other.status_code, message(other)[:7]) == (400, "after: ")


@pytest.mark.parametrize(
    "query", ["sort=name", "after=x", "after=%FF", "after=W10", "limit=0", "after="]
)
def test_invalid_page_parameter_is_named(api: Served, query: str) -> None:
    response = api.get(f"/accounts?{query}")
    assert response.status_code == 400
    assert message(response).startswith(query.split("=")[0] + ": ")


def test_listing_does_not_exist_without_a_view(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url:
        assert requests.get(f"{url}/accounts", timeout=30).status_code == 405
        assert requests.get(f"{url}/readyz", timeout=30).status_code == 200
        assert (
            "get"
            not in requests.get(f"{url}/openapi.json", timeout=30).json()["paths"]["/accounts"]
        )


def test_listing_reads_every_type_of_number_that_mongodb_has(
    lab: Lab, service: AccountService, category: str
) -> None:
    account = {"version": Int64(3), "timestamps": ["1-0"]}
    funds = [7, Int64(0), Int64(2**31), 2**53, 5.0, Decimal128("6")]
    lab.mongo[category].insert_many(
        {"_id": f"a{number}", "funds": one, **account} for number, one in enumerate(funds)
    )
    with in_a_thread(create_app(service, lab.mongo[category])) as url:
        for sort in ("id", "-id", "funds", "-funds"):
            listed = all_pages(url, sort)
            assert sorted(one["funds"] for one in listed) == [0, 5, 6, 7, 2**31, 2**53]
            assert {type(one["funds"]) for one in listed} == {int}
