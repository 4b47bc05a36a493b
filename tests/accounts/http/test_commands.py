"""Commands over HTTP: business rules, ids, amounts and bodies."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
import requests

from eventlab.accounts import AccountService
from tests.support.accounts_api import (
    JSON,
    Served,
    everything,
    message,
)


def test_command_is_rejected_by_a_business_rule(api: Served) -> None:
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


ODD_IDS = [
    "{accountStream}", "accountStream", "accountId", "{CATEGORY}", "CATEGORY", "{CATEGORY}:a",
    "ids", "a:b",
    "🐍", "مرحبا", " ", "a?b#c", "%2e",
]  # fmt: skip


INVALID_IDS = ["../x", "a/b", "/", ".", "..", "", "x" * 10_000, "é" * 257, "\ufffd"]


@pytest.mark.parametrize("id", ODD_IDS, ids=ascii)
def test_odd_id_touches_only_its_own_keys(api: Served, id: str) -> None:
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


@pytest.mark.parametrize("id", INVALID_IDS, ids=lambda id: ascii(id)[:20])
def test_invalid_id_is_a_clear_4xx(api: Served, id: str) -> None:
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


UNPRINTABLE_IDS = ["\x00", "a\r\nb", "\x1b[2J", "\x7f", "\x85", "a\u2028b", "a\u202eb", "\u2066"]


@pytest.mark.parametrize("id", UNPRINTABLE_IDS, ids=ascii)
def test_new_account_cannot_have_an_unprintable_id(api: Served, id: str) -> None:
    status, body = api.raw("POST", "/accounts", json.dumps({"id": id}).encode())
    assert (status, body["errorMessage"]) == (
        400,
        "id: must not contain control characters, line breaks or bidirectional controls",
    )
    AccountService(api.store).create(id)  # one that is there already is served as before
    path = f"/accounts/{quote(id, safe='')}"
    assert api.raw("POST", f"{path}/deposits", b'{"amount":7}') == (200, {"id": id, "amount": 7})


@pytest.mark.parametrize("path", ["/accounts/%FF", "/accounts/%C3", "/accounts/%ED%A0%80"])
def test_path_that_is_not_utf_8_is_rejected(api: Served, path: str) -> None:
    assert api.raw("GET", path) == (400, {"errorMessage": "id: must be valid UTF-8"})


INVALID_AMOUNTS = [
    "1e400", "-0", "0", "-1", "true", "null", '"100"', "9007199254740993", "1.0", "1e2", "0.5",
    "NaN", "Infinity", "[1]", '{"amount":1}', "9" * 5000, "1" + "0" * 400, "01",
    "[" * 20_000 + "]" * 20_000, "",
]  # fmt: skip


@pytest.mark.parametrize("amount", INVALID_AMOUNTS, ids=lambda text: text[:10])
def test_invalid_amount_is_a_clear_400(api: Served, amount: str) -> None:
    id = api.opened(100)
    before = everything(api.store)
    for path in ("deposits", "withdrawals"):
        status, body = api.raw("POST", f"/accounts/{id}/{path}", f'{{"amount":{amount}}}'.encode())
        assert status == 400
        assert body["errorMessage"].startswith("amount")
        assert len(body["errorMessage"]) < 300
    assert everything(api.store) == before


def test_largest_amount_is_2_to_the_53(api: Served) -> None:
    id = api.opened()
    assert api.post(f"/accounts/{id}/deposits", {"amount": 2**53}).json() == {
        "id": id,
        "amount": 2**53,
    }
    assert api.get(f"/accounts/{id}").json()["funds"] == 2**53


INVALID_BODIES = [
    b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b'{"id":"x"}x', b"\xff", b'{"id":"\xff"}',
    b'{"id":"\\ud800"}',
    b'{"id":5}', b'{"id":null}', b'{"id":["x"]}', b"id=x", b"[" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("body", INVALID_BODIES, ids=lambda body: ascii(body)[:20])
def test_invalid_body_is_a_400_that_names_the_field(api: Served, body: bytes) -> None:
    before = everything(api.store)
    status, response = api.raw("POST", "/accounts", body)
    assert status == 400
    assert response["errorMessage"].startswith("id: ")
    assert everything(api.store) == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "json", "application/jsonx"]
)
def test_body_must_be_declared_as_json(api: Served, kind: str) -> None:
    status, body = api.raw("POST", "/accounts", b'{"id":"x"}', **{"Content-Type": kind})
    assert (status, body["errorMessage"]) == (400, "Content-Type: must be application/json")


@pytest.mark.parametrize("path", ["/accounts", "/accounts/JohnDoe/deposits"])
@pytest.mark.parametrize("size", [65_537, 5_000_000])
def test_body_that_is_too_large_is_413(api: Served, path: str, size: int) -> None:
    before = everything(api.store)
    chunked = requests.post(api.url + path, data=iter([b"{" * size]), headers=JSON, timeout=30)
    declared = requests.post(api.url + path, data=b"{" * size, headers=JSON, timeout=30)
    for response in (chunked, declared):
        assert (response.status_code, message(response)) == (
            413,
            "the body is larger than 65536 bytes",
        )
        assert response.headers["Connection"] == "close"
    assert everything(api.store) == before
