"""Requests that another server may read differently are rejected; HEAD is answered."""

from __future__ import annotations

import http.client
import uuid

import pytest
import requests
from fastapi import FastAPI

from eventlab.accounts import AccountService
from eventlab.accounts.http.app import create_app
from eventlab.servers import Lab
from tests.support.accounts_api import (
    JSON,
    Served,
    exchange,
    in_a_thread,
    message,
    serving,
)


def status_of(api: Served, *headers: str, path: str = "/healthz") -> int:
    """Return the status of a GET with exactly these header lines."""
    lines = [f"GET {path} HTTP/1.1", *headers, "Connection: close", "", ""]
    return int(exchange(api.url, "\r\n".join(lines).encode()).split()[1])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:PORT", "localhost", "LocalHost.:1", "[::1]:8444", "[::1]"]
)
def test_service_on_loopback_serves_a_loopback_host(api: Served, host: str) -> None:
    assert status_of(api, f"Host: {host.replace('PORT', str(api.port))}") == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8444", "localhost.evil.example", "127.0.0.1.evil.example:80",
     "", "[::1", "localhost@evil", "localhost:80:80", "x", "127.0.0.1, evil.example"],
)  # fmt: skip
def test_service_on_loopback_rejects_another_host(api: Served, host: str) -> None:
    assert status_of(api, f"Host: {host}") == 400
    id = f"a-{uuid.uuid4().hex}"
    rejected = requests.post(
        f"{api.url}/accounts",
        json={"id": id},
        headers={"Host": "evil.example", "Origin": "http://evil.example"},
        timeout=30,
    )
    assert (rejected.status_code, message(rejected)) == (
        400,
        "Host: 'evil.example' is not served here: use 127.0.0.1, or start the service with"
        " --allow-host",
    )
    assert api.store.version(id) == 0


def test_proxy_may_pass_on_an_allowed_host(lab: Lab, category: str) -> None:
    with serving(lab, category, "--allow-host=bank.example", "--root-path=/bank/") as api:
        assert status_of(api, "Host: bank.example") == 200
        assert status_of(api, "Host: evil.example") == 400
        opened = api.post("/accounts", {"id": "a b"})
        assert opened.headers["Location"] == "/bank/accounts/a%20b"
        assert "cdn" not in api.get("/docs").text


def test_service_beyond_loopback_warns_and_serves_any_host(lab: Lab, category: str) -> None:
    with serving(lab, category, "--host=0.0.0.0") as api:
        assert status_of(api, "Host: bank.example") == 200
        assert "no login, no TLS and no rate limit" in "".join(api.output)


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/accounts", "/accounts/ID", "/accounts/ID/events", "/docs", "/x"],
)
def test_head_is_get_without_the_body(api: Served, path: str) -> None:
    url = api.url + path.replace("ID", api.opened(5))
    get, head = (requests.request(method, url, timeout=30) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (get.status_code, b"")
    own = {"date", "x-correlation-id"}
    assert {name: value for name, value in head.headers.items() if name.lower() not in own} == {
        name: value for name, value in get.headers.items() if name.lower() not in own
    }


@pytest.mark.parametrize("name", ["Idempotency-Key", "X-Correlation-Id", "Content-Type"])
def test_header_that_is_given_twice_is_rejected(api: Served, name: str) -> None:
    id = api.opened(5)
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    body = b'{"amount":7}'
    connection.putrequest("POST", f"/accounts/{id}/deposits")
    first = {"Content-Type": "application/json", "Content-Length": str(len(body)), name: "a"}
    for header in [*first.items(), (name, "b")]:
        connection.putheader(*header)
    connection.endheaders(body)
    response = connection.getresponse()
    assert (response.status, b"must appear only once, not 2 times" in response.read()) == (
        400,
        True,
    )
    connection.close()
    assert api.store.version(id) == 2


def test_length_and_transfer_encoding_together_are_rejected(api: Served) -> None:
    id = api.opened(5)
    head = f"POST /accounts/{id}/deposits HTTP/1.1\r\nHost: localhost\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"
    answered = exchange(api.url, head.encode() + b'\r\nc\r\n{"amount":7}\r\n0\r\n\r\n')
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert answered.count(b"HTTP/1.1 ") == 1  # and the connection was closed
    assert api.store.version(id) == 2


def test_encoded_slash_does_not_name_another_route(api: Served) -> None:
    id = api.opened(5)
    assert api.get(f"/accounts/{id}/events").status_code == 200
    assert api.raw("GET", f"/accounts/{id}%2fevents")[0] == 400


@pytest.mark.parametrize(
    ("tags", "status"),
    [('"2"', 304), ('W/"2"', 304), ('"1", "2"', 304), ("*", 304), ('"1"', 200), ("2", 400)],
)
def test_if_none_match_saves_the_body(api: Served, tags: str, status: int) -> None:
    id = api.opened(5)
    response = api.get(f"/accounts/{id}", If_None_Match=tags)
    assert response.status_code == status
    assert status != 304 or (response.content, response.headers["ETag"]) == (b"", '"2"')


def test_location_holds_the_root_path_of_a_mounted_app(service: AccountService) -> None:
    outer = FastAPI()
    outer.mount("/bank", create_app(service))
    with in_a_thread(outer) as url:
        opened = requests.post(f"{url}/bank/accounts", b'{"id":"a"}', headers=JSON, timeout=30)
        assert opened.headers["Location"] == "/bank/accounts/a"
        assert requests.get(url + opened.headers["Location"], timeout=30).status_code == 200
