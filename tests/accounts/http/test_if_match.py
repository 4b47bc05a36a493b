"""ETag and If-Match: optimistic concurrency over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from eventlab import EventStore, VersionConflict
from eventlab.accounts import AccountService
from eventlab.accounts.http.app import create_app
from eventlab.accounts.http.etag import wanted
from tests.support.accounts_api import (
    Served,
    in_a_thread,
    message,
)


def test_if_match_accepts_only_the_current_version(api: Served) -> None:
    id = api.opened(10)
    etag = api.get(f"/accounts/{id}").headers["ETag"]
    assert etag == '"2"'
    done = api.post(f"/accounts/{id}/deposits", {"amount": 1}, If_Match=etag)
    assert (done.status_code, done.headers["ETag"]) == (200, '"3"')
    for stale in (etag, '"1", "2"', '"4"', 'W/"3"', '"x"', '"03"', '""'):
        rejected = api.post(f"/accounts/{id}/withdrawals", {"amount": 1}, If_Match=stale)
        assert (rejected.status_code, rejected.headers["ETag"], rejected.json()["version"]) == (
            412,
            '"3"',
            3,
        ), stale
        assert "version 3" in message(rejected)
    assert api.store.version(id) == 3
    for fresh in ('"3"', '"1", "4"', "*", '"9" ,,W/"1", "6"'):
        assert (
            api.post(f"/accounts/{id}/deposits", {"amount": 1}, If_Match=fresh).status_code == 200
        ), fresh


@pytest.mark.parametrize(
    "tag", ["3", "", '"3', '"3" "4"', "*, *", '*, "3"', "W/3", '"a"b"', 'w/"3"']
)
def test_invalid_if_match_is_rejected(api: Served, tag: str) -> None:
    response = api.post(f"/accounts/{api.opened()}/deposits", {"amount": 1}, If_Match=tag)
    assert response.status_code == 400
    assert message(response).startswith("If-Match: ")


def test_if_match_may_come_in_several_lines() -> None:
    assert wanted(['"1"', '"2", W/"3"', '"x,4"']) == {1, 2}
    assert wanted(["*"]) is wanted([]) is None


def test_one_of_eight_writers_with_one_etag_succeeds(api: Served) -> None:
    id = api.opened(10)
    with ThreadPoolExecutor(8) as pool:

        def send(_: int) -> int:
            return api.post(f"/accounts/{id}/deposits", {"amount": 1}, If_Match='"2"').status_code

        codes = sorted(pool.map(send, range(8)))
    assert codes == [200, *[412] * 7]
    assert api.store.version(id) == 3


class Contended(EventStore):
    """A store in which another writer is always faster."""

    def append(self, id: str, *args: Any, **options: Any) -> Any:
        raise VersionConflict(id, options["expected"], 7)


def test_conflict_that_outlasts_the_retries_is_409_with_the_version(
    service: AccountService, category: str
) -> None:
    service.create("a")
    contended = AccountService(Contended(service.accounts.store.redis, category))
    with in_a_thread(create_app(contended)) as url:
        response = requests.post(f"{url}/accounts/a/deposits", json={"amount": 1}, timeout=30)
    assert (response.status_code, response.json()["version"], response.headers["ETag"]) == (
        409,
        7,
        '"7"',
    )
    assert "version 7" in message(response)
