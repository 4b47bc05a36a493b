"""Idempotency-Key: a repeat of a request gets the first response."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from eventlab.servers import Lab
from tests.support.accounts_api import (
    Served,
    everything,
    message,
    serving,
)


def same(one: requests.Response, other: requests.Response) -> bool:
    """Return whether two responses have the same status, body and version."""
    return (one.status_code, one.content, one.headers["ETag"]) == (
        other.status_code,
        other.content,
        other.headers["ETag"],
    )


def test_repeat_gets_the_first_response_although_it_would_now_be_rejected(api: Served) -> None:
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
    assert [response.status_code for response in first] == [201, 200, 200]
    for _ in range(2):
        assert all(map(same, first, walk()))
    assert api.post(f"/accounts/{id}/deposits", {"amount": 1}, If_Match='"1"').status_code == 412
    assert api.store.version(id) == 3


def test_repeat_gets_the_first_response_from_another_process_and_after_a_restart(
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


def test_concurrent_duplicates_are_one_request(api: Served) -> None:
    for _ in range(5):
        id, key = api.opened(100), uuid.uuid4().hex
        with ThreadPoolExecutor(8) as pool:
            send = lambda _, id=id, key=key: api.post(  # noqa: E731
                f"/accounts/{id}/withdrawals", {"amount": 100}, Idempotency_Key=key, If_Match='"2"'
            )
            responses = list(pool.map(send, range(8)))
        assert {(response.status_code, response.content) for response in responses} == {
            (200, responses[0].content)
        }
        assert api.store.version(id) == 3


def test_same_key_with_another_request_is_422(api: Served) -> None:
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
        response = api.post(path, body, Idempotency_Key=key)
        assert response.status_code == 422, (path, body)
        assert message(response).startswith("Idempotency-Key ")
    assert everything(api.store) == before
    fresh = uuid.uuid4().hex
    assert api.post("/accounts", {"id": uuid.uuid4().hex}, Idempotency_Key=fresh).status_code == 201
    assert api.post("/accounts", {"id": uuid.uuid4().hex}, Idempotency_Key=fresh).status_code == 422


def test_repeat_of_a_rejected_request_gets_the_same_rejection(api: Served) -> None:
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
    assert [response.status_code for response in first] == [code for code, *_ in requests]
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


@pytest.mark.parametrize("key", ['"a,b"', r'"a\",\\b"', "a:b;c", '"a"', "k" * 255])
def test_key_may_be_any_token_or_a_quoted_string(api: Served, key: str) -> None:
    headers = {"Idempotency-Key": key}
    path = f"/accounts/{api.opened()}/deposits"
    first, repeat = (api.raw("POST", path, b'{"amount":1}', **headers) for _ in range(2))
    assert first[0] == 200
    assert repeat == first


#: Two keys that a proxy has joined are no key: RFC 9651 reads a list, and the header is an item.
JOINED = ["K,K", "K,L", "K, K", '"K","K"', '"K", "K"', ",K", '"K",']


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "é", *JOINED])
def test_invalid_key_is_rejected(api: Served, key: str) -> None:
    response = api.raw(
        "POST", f"/accounts/{api.opened()}/deposits", b'{"amount":1}', **{"Idempotency-Key": key}
    )
    assert response[0] == 400
    assert response[1]["errorMessage"].startswith("Idempotency-Key: ")
