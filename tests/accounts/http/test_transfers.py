"""POST /transfers: both accounts change, or neither; a repeat changes nothing."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.accounts_api import Served, everything, message


def transfer(api: Served, from_: str, to: str, amount: object, **headers: str) -> requests.Response:
    return api.post("/transfers", {"from": from_, "to": to, "amount": amount}, **headers)


def funds(api: Served, *ids: str) -> list[int]:
    return [api.get(f"/accounts/{id}").json()["funds"] for id in ids]


def test_transfer_moves_money_and_says_which_transfer_it_was(api: Served) -> None:
    a, b = api.opened(100), api.opened()
    done = transfer(api, a, b, 40, X_Correlation_Id="c1")
    assert done.status_code == 200
    assert done.json() == {
        "from": a,
        "to": b,
        "amount": 40,
        "transfer": done.json()["transfer"],
    }
    for id in (a, b):
        event = api.get(f"/accounts/{id}/events").json()["events"][-1]
        assert event["meta"] == {"correlation_id": "c1", "transfer": done.json()["transfer"]}
    assert funds(api, a, b) == [60, 40]


def test_transfer_that_is_rejected_changes_nothing(api: Served) -> None:
    a, b = api.opened(5), api.opened(5)
    before = everything(api.store)
    for from_, to, amount, status, words in (
        (a, b, 6, 400, "amount: "),
        (a, b, 2**53, 400, "amount: "),
        (a, a, 1, 400, "to: "),
        (a, "unknown", 1, 404, "account 'unknown' does not exist"),
        ("unknown", b, 1, 404, "account 'unknown' does not exist"),
        (a, b, 0, 400, "amount"),
        (a, b, "5", 400, "amount"),
        (a, "", 1, 400, "id"),
    ):
        response = transfer(api, from_, to, amount)
        assert (response.status_code, message(response)[: len(words)]) == (status, words)
    assert everything(api.store) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "b", "amount": 1}, "from"),
        ({"from": "a", "amount": 1}, "to"),
        ({"from": "a", "to": "b"}, "amount"),
        ({"from": 5, "to": "b", "amount": 1}, "from"),
        ({"from": "a", "to": None, "amount": 1}, "to"),
        ([], "from"),
    ],
)
def test_body_of_a_transfer_names_the_field_that_is_wrong(
    api: Served, body: object, field: str
) -> None:
    response = api.post("/transfers", body)
    assert response.status_code == 400
    assert message(response).startswith(f"{field}: the body must be")


def test_transfer_is_made_once_for_each_idempotency_key(api: Served) -> None:
    a, b = api.opened(100), api.opened()
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: transfer(api, a, b, 40, Idempotency_Key=key), range(8)))
    assert {response.status_code for response in done} == {200}
    assert len({response.content for response in done}) == 1
    assert funds(api, a, b) == [60, 40]
    for from_, to, amount in ((a, b, 41), (b, a, 40)):
        assert transfer(api, from_, to, amount, Idempotency_Key=key).status_code == 422
    move = api.post(f"/accounts/{a}/withdrawals", {"amount": 40}, Idempotency_Key=key)
    assert move.status_code == 422


def test_rejected_transfer_stays_rejected_for_its_key(api: Served) -> None:
    a, b = api.opened(5), api.opened()
    key = uuid.uuid4().hex
    first = transfer(api, a, b, 6, Idempotency_Key=key)
    api.post(f"/accounts/{a}/deposits", {"amount": 10})
    again = transfer(api, a, b, 6, Idempotency_Key=key)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.status_code == 400
    assert funds(api, a, b) == [15, 0]


def test_transfers_in_both_directions_keep_the_sum(api: Served) -> None:
    a, b = api.opened(50), api.opened(50)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: transfer(api, *((a, b) if n % 2 else (b, a)), 1), range(60)))
    assert {response.status_code for response in done} <= {200, 409}
    assert sum(funds(api, a, b)) == 100
