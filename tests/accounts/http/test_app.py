"""The account service over HTTP: over a socket, against the process that ``eventlab serve`` starts."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pymongo
import pytest
import redis
import requests
import uvicorn
from fastapi import FastAPI
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from redis.backoff import NoBackoff
from redis.retry import Retry

from eventlab import EventStore, Projector, VersionConflict
from eventlab.accounts import AccountService, AccountView
from eventlab.accounts.http.app import create_app
from eventlab.accounts.http.etag import wanted
from eventlab.servers import Lab
from tests.support.ports import free_port

JSON = {"Content-Type": "application/json"}


@dataclass
class Served:
    """A running ``eventlab serve``."""

    process: subprocess.Popen[bytes]
    port: int
    store: EventStore
    view: Any

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: object, **headers: str) -> requests.Response:
        """One POST, on a connection of its own."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(self.url + path, json=body, headers=named, timeout=30)

    def get(self, path: str, **headers: str) -> requests.Response:
        """One GET."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(self.url + path, headers=named, timeout=30)

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """A path and a body that no client library has touched."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        ) as connection:
            connection.request(method, path, body, JSON | headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def opened(self, funds: int = 0) -> str:
        """A new account with so much in it."""
        id = f"a-{uuid.uuid4().hex}"
        assert self.post("/accounts", {"id": id}).status_code == 201
        if funds:
            assert self.post(f"/accounts/{id}/deposits", {"amount": funds}).status_code == 200
        return id


@contextlib.contextmanager
def serving(lab: Lab, category: str, *, workers: int = 1) -> Iterator[Served]:
    """``eventlab serve`` on a category, and on a collection of the same name, until the end of the block."""
    port = free_port()
    command = [sys.executable, "-m", "eventlab", "serve", f"--port={port}", f"--workers={workers}"]
    command += [f"--category={category}", f"--collection={category}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    served = Served(process, port, EventStore(lab.redis, category), lab.mongo[category])
    reader = threading.Thread(target=_drain, args=(process,))
    reader.start()
    try:
        await_ready(served)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(40)
        finally:
            process.kill()
            reader.join()


def _drain(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            sys.stdout.write(line.decode())  # pytest shows it when a test fails


def await_ready(served: Served) -> None:
    """Wait until it answers."""
    for _ in range(600):
        assert served.process.poll() is None, "it ended at once"
        with contextlib.suppress(requests.ConnectionError):
            if served.get("/readyz").ok:
                return
        time.sleep(0.05)
    raise AssertionError("not ready after 30 s")


@contextlib.contextmanager
def in_a_thread(app: FastAPI) -> Iterator[str]:
    """An app of the test's own making, behind a real socket; gives its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Served]:
    category = f"api_{uuid.uuid4().hex}"
    with serving(lab, category) as served:
        yield served
    served.store.drop()
    served.view.drop()


@pytest.fixture
def service(redis_client: redis.Redis, category: str) -> AccountService:
    return AccountService(EventStore(redis_client, category))


def everything(store: EventStore) -> dict[object, object]:
    """What Redis holds, to the byte, but for the claims: they are no event, and end by themselves."""
    keys = [
        key
        for key in store.redis.scan_iter(count=1000)
        if "/claim:" not in key and "/once:" not in key
    ]
    with redis.Redis(connection_pool=redis.ConnectionPool(**raw_connection(store))) as client:
        return {key: client.dump(key) for key in keys}


def raw_connection(store: EventStore) -> dict[str, Any]:
    """How to reach the same Redis, for bytes."""
    kwargs = dict(store.redis.connection_pool.connection_kwargs)
    return {
        "connection_class": redis.UnixDomainSocketConnection,
        "path": kwargs["path"],
    }


def message(response: requests.Response) -> str:
    """The sentence of a refusal, which is all that its body says."""
    body = response.json()
    assert body.keys() - {"version"} == {"errorMessage"}
    return str(body["errorMessage"])


# -------------------------------------------------------------- the original


def test_the_original_s_walk(api: Served) -> None:
    made = api.post("/accounts", {"id": "JohnDoe"})
    assert (made.status_code, made.text) == (201, '{"id":"JohnDoe"}')
    assert (made.headers["Location"], made.headers["ETag"]) == ("/accounts/JohnDoe", '"1"')
    first = api.get("/accounts/JohnDoe")
    position = api.store.read("JohnDoe")[0].position
    assert (first.status_code, first.headers["Content-Type"]) == (200, "application/json")
    assert first.text == f'{{"id":"JohnDoe","version":1,"timestamp":"{position}","funds":0}}'
    for path in ("deposits", "withdrawals"):
        moved = api.post(f"/accounts/JohnDoe/{path}", {"amount": 100})
        assert (moved.status_code, moved.text) == (200, '{"id":"JohnDoe","amount":100}')
    last = api.get("/accounts/JohnDoe")
    assert last.json() == {
        "id": "JohnDoe",
        "version": 3,
        "timestamp": api.store.read("JohnDoe")[2].position,
        "funds": 0,
    }


def test_what_the_bank_refuses(api: Served) -> None:
    id = api.opened(5)
    again = api.post("/accounts", {"id": id})
    assert (again.status_code, message(again)) == (400, f"id: account '{id}' already exists")
    less = api.post(f"/accounts/{id}/withdrawals", {"amount": 6})
    assert (less.status_code, message(less)) == (
        400,
        f"amount: account '{id}' holds 5, which is less than 6",
    )
    more = api.post(f"/accounts/{id}/deposits", {"amount": 2**53})
    assert more.status_code == 400
    assert message(more).startswith("amount: ")
    assert api.store.version(id) == 2


@pytest.mark.parametrize(
    "path", ["", "/deposits", "/withdrawals", "/events", "?version=1", "?at=2030-01-01T00:00:00Z"]
)
def test_an_unknown_account_is_404_on_every_route(api: Served, path: str) -> None:
    url = f"/accounts/nobody{path}"
    answer = (
        api.post(url, {"amount": 1}, If_Match='"1"')
        if path[1:] in ("deposits", "withdrawals")
        else api.get(url)
    )
    assert (answer.status_code, message(answer)) == (
        404,
        "account 'nobody' does not exist: create it first",
    )


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/", 404), ("GET", "/accounts/", 404), ("PUT", "/accounts", 405)],
)
def test_what_is_not_there_is_said_in_the_same_form(
    api: Served, method: str, path: str, code: int
) -> None:
    answer = requests.request(method, api.url + path, timeout=30, allow_redirects=False)
    assert answer.status_code == code
    assert message(answer)
    assert code != 405 or answer.headers["Allow"] == "GET, POST"


class OriginalProjector:
    """What the original's projector does: an upsert per event, guarded by the list of the timestamps it has counted."""

    def __init__(self, client: redis.Redis, stream: str, documents: Any) -> None:
        self._client, self._stream, self._documents = client, stream, documents
        client.xgroup_create(stream, "accountStreamGroup", id="0")

    def run(self) -> None:
        """Read, update, acknowledge, until nothing is left."""
        while batch := self._client.xreadgroup(
            "accountStreamGroup", "accountProjector", {self._stream: ">"}, count=7
        ):
            for position, fields in batch[0][1]:
                name, text = next(iter(fields.items()))
                assert name == b"event"
                for _ in range(2):  # at least once is what a group delivers
                    self._update(json.loads(text) | {"timestamp": position.decode()})
                self._client.xack(self._stream, "accountStreamGroup", position)

    def _update(self, event: dict[str, Any]) -> None:
        sign = {"create": 0, "deposit": 1, "withdraw": -1}[event["type"]]
        known = {
            "_id": event["id"],
            "timestamps": {"$not": {"$elemMatch": {"$eq": event["timestamp"]}}},
        }
        change = {
            "$inc": {"funds": sign * event.get("amount", 0)},
            "$addToSet": {"timestamps": event["timestamp"]},
        }
        try:
            self._documents.update_one(known, change, upsert=True)
        except DuplicateKeyError:
            self._documents.update_one(known, change)


def test_the_original_s_projector_builds_the_same_funds(
    lab: Lab, redis_client: redis.Redis, category: str, mongo: Database[dict[str, Any]]
) -> None:
    with serving(lab, category) as api:
        for id, moves in {"JohnDoe": [100, -100], "Jane": [5, 7, -3], "Jo": []}.items():
            api.post("/accounts", {"id": id})
            for amount in moves:
                path = "deposits" if amount > 0 else "withdrawals"
                assert api.post(f"/accounts/{id}/{path}", {"amount": abs(amount)}).ok
        documents = mongo[f"{category}_original"]
        OriginalProjector(redis_client, category, documents).run()
        found = {one["_id"]: (one["funds"], len(one["timestamps"])) for one in documents.find()}
        assert found == {"JohnDoe": (0, 3), "Jane": (9, 4), "Jo": (0, 1)}
        assert {id: api.get(f"/accounts/{id}").json()["funds"] for id in found} == {
            "JohnDoe": 0,
            "Jane": 9,
            "Jo": 0,
        }


# ----------------------------------------------------------------- in the past


def test_an_account_as_it_was(api: Served) -> None:
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
        f"version: account '{id}' is at 3, 4 is yet to come",
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
def test_a_time_that_is_none_is_refused_by_name(api: Served, query: str, field: str) -> None:
    answer = api.get(f"/accounts/{api.opened()}?{query}")
    assert answer.status_code == 400
    assert message(answer).startswith(f"{field}: ")


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "2026-W01-1T00Z"]
)
def test_a_time_at_the_edge_is_no_fault(api: Served, at: str) -> None:
    assert api.get(f"/accounts/{api.opened()}?at={at}").status_code in (200, 404)


# ---------------------------------------------------------------------- pages


def test_the_events_of_an_account_page_by_page(api: Served) -> None:
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
        refused = api.get(f"/accounts/{id}/events?{query}")
        assert refused.status_code == 400
        assert message(refused).startswith(f"{field}: ")


def all_pages(url: str, sort: str) -> list[dict[str, Any]]:
    """The accounts of all pages, two on each."""
    seen, query = [], {"sort": sort, "limit": "2"}
    while True:
        page = requests.get(f"{url}/accounts", query, timeout=30).json()
        assert len(page["accounts"]) <= 2
        seen += page["accounts"]
        if page["next"] is None:
            return seen
        query["after"] = page["next"]


def test_all_accounts_come_from_the_view_sorted_and_paged(
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
def test_a_page_that_is_none_is_refused_by_name(api: Served, query: str) -> None:
    answer = api.get(f"/accounts?{query}")
    assert answer.status_code == 400
    assert message(answer).startswith(query.split("=")[0] + ": ")


def test_without_a_view_there_is_no_list(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url:
        assert requests.get(f"{url}/accounts", timeout=30).status_code == 405
        assert requests.get(f"{url}/readyz", timeout=30).status_code == 200
        assert (
            "get"
            not in requests.get(f"{url}/openapi.json", timeout=30).json()["paths"]["/accounts"]
        )


# ------------------------------------------------------------- ETag, If-Match


def test_if_match_lets_through_what_the_client_has_seen(api: Served) -> None:
    id = api.opened(10)
    etag = api.get(f"/accounts/{id}").headers["ETag"]
    assert etag == '"2"'
    done = api.post(f"/accounts/{id}/deposits", {"amount": 1}, If_Match=etag)
    assert (done.status_code, done.headers["ETag"]) == (200, '"3"')
    for stale in (etag, '"1", "2"', '"4"', 'W/"3"', '"x"', '"03"', '""'):
        refused = api.post(f"/accounts/{id}/withdrawals", {"amount": 1}, If_Match=stale)
        assert (refused.status_code, refused.headers["ETag"], refused.json()["version"]) == (
            412,
            '"3"',
            3,
        ), stale
        assert "version 3" in message(refused)
    assert api.store.version(id) == 3
    for fresh in ('"3"', '"1", "4"', "*", '"9" ,,W/"1", "6"'):
        assert (
            api.post(f"/accounts/{id}/deposits", {"amount": 1}, If_Match=fresh).status_code == 200
        ), fresh


@pytest.mark.parametrize(
    "tag", ["3", "", '"3', '"3" "4"', "*, *", '*, "3"', "W/3", '"a"b"', 'w/"3"']
)
def test_an_if_match_that_is_none_is_refused(api: Served, tag: str) -> None:
    answer = api.post(f"/accounts/{api.opened()}/deposits", {"amount": 1}, If_Match=tag)
    assert answer.status_code == 400
    assert message(answer).startswith("If-Match: ")


def test_if_match_may_come_in_several_lines() -> None:
    assert wanted(['"1"', '"2", W/"3"', '"x,4"']) == {1, 2}
    assert wanted(["*"]) is wanted([]) is None


def test_of_two_writers_with_one_etag_one_wins(api: Served) -> None:
    id = api.opened(10)
    with ThreadPoolExecutor(8) as pool:

        def send(_: int) -> int:
            return api.post(f"/accounts/{id}/deposits", {"amount": 1}, If_Match='"2"').status_code

        codes = sorted(pool.map(send, range(8)))
    assert codes == [200, *[412] * 7]
    assert api.store.version(id) == 3


class Contended(EventStore):
    """A store where somebody else is always faster."""

    def append(self, id: str, *args: Any, **options: Any) -> Any:
        raise VersionConflict(id, options["expected"], 7)


def test_a_conflict_that_outlasts_the_retries_is_409_with_the_version(
    service: AccountService, category: str
) -> None:
    service.create("a")
    contended = AccountService(Contended(service.accounts.store.redis, category))
    with in_a_thread(create_app(contended)) as url:
        answer = requests.post(f"{url}/accounts/a/deposits", json={"amount": 1}, timeout=30)
    assert (answer.status_code, answer.json()["version"], answer.headers["ETag"]) == (409, 7, '"7"')
    assert "version 7" in message(answer)


# ------------------------------------------------------------ Idempotency-Key


def same(one: requests.Response, other: requests.Response) -> bool:
    """The same answer: code, body, version."""
    return (one.status_code, one.content, one.headers["ETag"]) == (
        other.status_code,
        other.content,
        other.headers["ETag"],
    )


def test_a_repeat_gets_the_first_answer_when_it_would_be_refused_by_now(api: Served) -> None:
    id, keys = f"a-{uuid.uuid4().hex}", [uuid.uuid4().hex for _ in range(3)]

    def walk() -> list[requests.Response]:
        return [
            api.post("/accounts", {"id": id}, Idempotency_Key=keys[0]),
            api.post(
                f"/accounts/{id}/deposits", {"amount": 100}, Idempotency_Key=keys[1], If_Match='"1"'
            ),
            api.post(
                f"/accounts/{id}/withdrawals",
                {"amount": 100},
                Idempotency_Key=keys[2],
                If_Match='"2"',
            ),
        ]

    first = walk()
    assert [answer.status_code for answer in first] == [201, 200, 200]
    for _ in range(2):
        assert all(map(same, first, walk()))
    assert api.post(f"/accounts/{id}/deposits", {"amount": 1}, If_Match='"1"').status_code == 412
    assert api.store.version(id) == 3


def test_a_repeat_gets_the_first_answer_from_another_instance_and_after_a_restart(
    lab: Lab, category: str
) -> None:
    with serving(lab, category, workers=2) as api:
        id = api.opened(100)
        first = api.post(f"/accounts/{id}/withdrawals", {"amount": 100}, Idempotency_Key="k")
        with serving(lab, category) as other:
            assert same(
                first,
                other.post(f"/accounts/{id}/withdrawals", {"amount": 100}, Idempotency_Key="k"),
            )
        for _ in range(10):
            assert same(
                first, api.post(f"/accounts/{id}/withdrawals", {"amount": 100}, Idempotency_Key="k")
            )
    with serving(lab, category) as again:
        assert same(
            first, again.post(f"/accounts/{id}/withdrawals", {"amount": 100}, Idempotency_Key="k")
        )
        assert again.store.version(id) == 3


def test_twins_that_arrive_together_are_one(api: Served) -> None:
    for _ in range(5):
        id, key = api.opened(100), uuid.uuid4().hex
        with ThreadPoolExecutor(8) as pool:
            send = lambda _, id=id, key=key: api.post(  # noqa: E731
                f"/accounts/{id}/withdrawals", {"amount": 100}, Idempotency_Key=key, If_Match='"2"'
            )
            answers = list(pool.map(send, range(8)))
        assert {(answer.status_code, answer.content) for answer in answers} == {
            (200, answers[0].content)
        }
        assert api.store.version(id) == 3


def test_the_same_key_with_another_request_is_422(api: Served) -> None:
    id, other, key = api.opened(100), api.opened(100), uuid.uuid4().hex
    assert api.post(f"/accounts/{id}/deposits", {"amount": 5}, Idempotency_Key=key).ok
    before = everything(api.store)
    for path, body in (
        (f"/accounts/{id}/deposits", {"amount": 6}),
        (f"/accounts/{id}/withdrawals", {"amount": 5}),
        (f"/accounts/{other}/deposits", {"amount": 5}),
        ("/accounts", {"id": id}),
        ("/accounts", {"id": uuid.uuid4().hex}),
    ):
        answer = api.post(path, body, Idempotency_Key=key)
        assert answer.status_code == 422, (path, body)
        assert message(answer).startswith("Idempotency-Key ")
    assert everything(api.store) == before
    fresh = uuid.uuid4().hex
    assert api.post("/accounts", {"id": uuid.uuid4().hex}, Idempotency_Key=fresh).status_code == 201
    assert api.post("/accounts", {"id": uuid.uuid4().hex}, Idempotency_Key=fresh).status_code == 422


def test_a_refusal_is_the_first_answer_too(api: Served) -> None:
    id, key, stale, unknown, twice = api.opened(), *(uuid.uuid4().hex for _ in range(4))
    nobody = uuid.uuid4().hex
    requests = [
        (400, f"/accounts/{id}/withdrawals", {"amount": 5}, {"Idempotency_Key": key}),
        (
            412,
            f"/accounts/{id}/deposits",
            {"amount": 5},
            {"Idempotency_Key": stale, "If_Match": '"7"'},
        ),
        (404, f"/accounts/{nobody}/deposits", {"amount": 5}, {"Idempotency_Key": unknown}),
        (400, "/accounts", {"id": id}, {"Idempotency_Key": twice}),
    ]
    first = [api.post(path, body, **headers) for _, path, body, headers in requests]
    assert [answer.status_code for answer in first] == [code for code, *_ in requests]
    api.post(f"/accounts/{id}/deposits", {"amount": 5})
    api.post("/accounts", {"id": nobody})
    before = everything(api.store)
    again = [api.post(path, body, **headers) for _, path, body, headers in requests]
    assert [(one.status_code, one.content, one.headers.get("ETag")) for one in again] == [
        (one.status_code, one.content, one.headers.get("ETag")) for one in first
    ]
    assert everything(api.store) == before
    assert (
        api.post(f"/accounts/{id}/withdrawals", {"amount": 6}, Idempotency_Key=key).status_code
        == 422
    )
    assert api.post(
        f"/accounts/{id}/withdrawals", {"amount": 5}, Idempotency_Key=uuid.uuid4().hex
    ).ok


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "é"])
def test_a_key_that_is_none_is_refused(api: Served, key: str) -> None:
    answer = api.raw(
        "POST", f"/accounts/{api.opened()}/deposits", b'{"amount":1}', **{"Idempotency-Key": key}
    )
    assert answer[0] == 400
    assert answer[1]["errorMessage"].startswith("Idempotency-Key: ")


# ----------------------------------------------------------- X-Correlation-Id


def test_the_correlation_id_goes_into_the_event_and_comes_back(api: Served) -> None:
    id = api.opened()
    done = api.post(f"/accounts/{id}/deposits", {"amount": 1}, X_Correlation_Id="order-17")
    assert done.headers["X-Correlation-Id"] == "order-17"
    made = api.post(f"/accounts/{id}/deposits", {"amount": 1}).headers["X-Correlation-Id"]
    assert [event.meta for event in api.store.read(id, after=1)] == [
        {"correlation_id": "order-17"},
        {"correlation_id": made},
    ]
    for path in ("/accounts/nobody", "/nowhere", "/healthz", f"/accounts/{id}?version=x"):
        assert api.get(path, X_Correlation_Id="me").headers["X-Correlation-Id"] == "me"
    assert len({api.get("/healthz").headers["X-Correlation-Id"] for _ in range(5)}) == 5


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "ü"])
def test_a_correlation_id_that_is_none_is_refused(api: Served, given: str) -> None:
    answer = api.raw("GET", "/healthz", **{"X-Correlation-Id": given})
    assert (answer[0], answer[1]["errorMessage"][:17]) == (400, "X-Correlation-Id:")


# ---------------------------------------------------------------- hostile ones

IDS = [
    "{accountStream}", "accountStream", "accountId", "{CATEGORY}", "CATEGORY", "{CATEGORY}:a", "ids", "a:b",
    "\x00", "🐍", "مرحبا", " ", "a?b#c", "%2e",
]  # fmt: skip
NO_IDS = ["../x", "a/b", "/", ".", "..", "", "x" * 10_000, "é" * 257, "\ufffd"]


@pytest.mark.parametrize("id", IDS, ids=ascii)
def test_an_odd_id_is_only_an_id(api: Served, id: str) -> None:
    id, others = id.replace("CATEGORY", api.store.category), everything(api.store)
    path = f"/accounts/{quote(id, safe='')}"
    body = json.dumps({"id": id}).encode()
    assert api.raw("POST", "/accounts", body) == (201, {"id": id})
    assert api.raw("POST", f"{path}/deposits", b'{"amount":7}') == (200, {"id": id, "amount": 7})
    status, account = api.raw("GET", path)
    assert (status, account["id"], account["funds"]) == (200, id, 7)
    assert [event.data for event in api.store.read(id)] == [{}, {"amount": 7}]
    after = everything(api.store)
    category = api.store.category
    changed = {key for key in after if after[key] != others.get(key)}
    assert changed == {category, f"{{{category}}}/ids", f"{{{category}}}:{id}"}
    assert others.keys() <= after.keys()


@pytest.mark.parametrize("id", NO_IDS, ids=lambda id: ascii(id)[:20])
def test_an_id_that_cannot_be_one_is_a_clear_4xx(api: Served, id: str) -> None:
    before = everything(api.store)
    status, body = api.raw("POST", "/accounts", json.dumps({"id": id}).encode())
    assert status == 400
    assert body["errorMessage"].startswith("id")
    for method, path in (
        ("GET", ""),
        ("POST", "/deposits"),
        ("POST", "/withdrawals"),
        ("GET", "/events"),
    ):
        status, body = api.raw(
            method, f"/accounts/{quote(id, safe='').replace('.', '%2E')}{path}", b'{"amount":1}'
        )
        assert status in (400, 404, 405)
        assert body["errorMessage"]
    assert everything(api.store) == before


@pytest.mark.parametrize("path", ["/accounts/%FF", "/accounts/%C3", "/accounts/%ED%A0%80"])
def test_a_path_that_is_no_utf_8_names_no_account(api: Served, path: str) -> None:
    assert api.raw("GET", path) == (400, {"errorMessage": "id: it is not in UTF-8"})


AMOUNTS = [
    "1e400", "-0", "0", "-1", "true", "null", '"100"', "9007199254740993", "1.0", "1e2", "0.5", "NaN", "Infinity",
    "[1]", '{"amount":1}', "9" * 5000, "1" + "0" * 400, "01", "[" * 20_000 + "]" * 20_000, "",
]  # fmt: skip


@pytest.mark.parametrize("amount", AMOUNTS, ids=lambda text: text[:10])
def test_an_amount_that_is_none_is_a_clear_400(api: Served, amount: str) -> None:
    id = api.opened(100)
    before = everything(api.store)
    for path in ("deposits", "withdrawals"):
        status, body = api.raw("POST", f"/accounts/{id}/{path}", f'{{"amount":{amount}}}'.encode())
        assert status == 400
        assert body["errorMessage"].startswith("amount")
        assert len(body["errorMessage"]) < 300
    assert everything(api.store) == before


def test_the_largest_amount_is_2_to_the_53(api: Served) -> None:
    id = api.opened()
    assert api.post(f"/accounts/{id}/deposits", {"amount": 2**53}).json() == {
        "id": id,
        "amount": 2**53,
    }
    assert api.get(f"/accounts/{id}").json()["funds"] == 2**53


BROKEN = [
    b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b'{"id":"x"}x', b"\xff", b'{"id":"\xff"}', b'{"id":"\\ud800"}',
    b'{"id":5}', b'{"id":null}', b'{"id":["x"]}', b"id=x", b"[" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: ascii(body)[:20])
def test_a_body_that_does_not_parse_is_a_400_that_names_the_field(api: Served, body: bytes) -> None:
    before = everything(api.store)
    status, answer = api.raw("POST", "/accounts", body)
    assert status == 400
    assert answer["errorMessage"].startswith("id: ")
    assert everything(api.store) == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "json", "application/jsonx"]
)
def test_a_body_must_say_that_it_is_json(api: Served, kind: str) -> None:
    status, body = api.raw("POST", "/accounts", b'{"id":"x"}', **{"Content-Type": kind})
    assert (status, body["errorMessage"]) == (400, "Content-Type: send application/json")


def test_the_original_s_content_type_is_taken(api: Served) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert api.raw("POST", "/accounts", b'{"id":"original"}', **kind)[0] == 201


@pytest.mark.parametrize("path", ["/accounts", "/accounts/JohnDoe/deposits"])
@pytest.mark.parametrize("size", [65_537, 5_000_000])
def test_too_long_a_body_is_413(api: Served, path: str, size: int) -> None:
    before = everything(api.store)
    chunked = requests.post(api.url + path, data=iter([b"{" * size]), headers=JSON, timeout=30)
    declared = requests.post(api.url + path, data=b"{" * size, headers=JSON, timeout=30)
    for answer in (chunked, declared):
        assert (answer.status_code, message(answer)) == (413, "the body has more than 65536 bytes")
    assert everything(api.store) == before


# ------------------------------------------------------------------ the process


def test_health_and_readiness(api: Served) -> None:
    for path in ("/healthz", "/readyz"):
        assert (api.get(path).status_code, api.get(path).text) == (200, '{"status":"ok"}')


def test_a_server_that_does_not_answer_is_503_and_no_500(
    service: AccountService, category: str
) -> None:
    nobody = redis.Redis(unix_socket_path="/nowhere", retry=Retry(NoBackoff(), 0))
    mongo = pymongo.MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=100)
    lost = AccountService(EventStore(nobody, category))
    with (
        mongo,
        in_a_thread(create_app(lost)) as url,
        in_a_thread(create_app(service, mongo.x[category])) as half,
    ):
        answers = [
            requests.get(f"{url}/accounts/a", timeout=30),
            requests.post(
                f"{url}/accounts", json={"id": "a"}, headers={"Idempotency-Key": "k"}, timeout=30
            ),
            requests.get(f"{url}/readyz", timeout=30),
            requests.get(f"{half}/readyz", timeout=30),
            requests.get(f"{half}/accounts", timeout=30),
        ]
        assert [answer.status_code for answer in answers] == [503] * 5
        assert [message(answer).split()[0] for answer in answers] == ["Redis"] * 3 + ["MongoDB"] * 2
        assert requests.get(f"{url}/healthz", timeout=30).ok


def test_a_fault_of_the_service_is_said_in_the_same_form(service: AccountService) -> None:
    service.accounts.store.redis.rpush(service.accounts.store.keys.log("a"), "no event")
    with in_a_thread(create_app(service)) as url:
        answer = requests.get(f"{url}/accounts/a", headers={"X-Correlation-Id": "me"}, timeout=30)
    assert (answer.status_code, answer.headers["X-Correlation-Id"]) == (500, "me")
    assert message(answer).endswith("(me)")


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_finishes_what_runs(lab: Lab, category: str, workers: int) -> None:
    with serving(lab, category, workers=workers) as api:
        id, body = api.opened(), b'{"amount":100}'
        with socket.create_connection(("127.0.0.1", api.port), timeout=30) as client:
            head = f"POST /accounts/{id}/deposits HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
            time.sleep(0.3)
            os.kill(api.process.pid, signal.SIGTERM)
            time.sleep(1)
            assert api.process.poll() is None
            client.sendall(body[5:])
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert api.process.wait(30) == 0
        assert api.store.version(id) == 2


def test_serve_says_what_is_wrong_with_its_arguments(api: Served) -> None:
    command = [sys.executable, "-m", "eventlab", "serve"]
    refused = subprocess.run(
        [*command, "--category=a{b}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (refused.returncode, refused.stderr[:10]) == (1, "eventlab: ")
    taken = subprocess.run(
        [*command, f"--port={api.port}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert taken.returncode != 0
    assert "address already in use" in taken.stderr
