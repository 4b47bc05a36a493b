"""X-Correlation-Id: it links requests, responses and events."""

from __future__ import annotations

import pytest

from tests.support.accounts_api import (
    Served,
)


def test_correlation_id_is_stored_in_the_event_and_returned(api: Served) -> None:
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
def test_invalid_correlation_id_is_rejected(api: Served, given: str) -> None:
    response = api.raw("GET", "/healthz", **{"X-Correlation-Id": given})
    assert (response[0], response[1]["errorMessage"][:17]) == (400, "X-Correlation-Id:")


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (TRACE, True),
        (f"01{TRACE[2:]}", True),
        (f"ff{TRACE[2:]}", False),
        (TRACE.upper(), False),
        (f"{TRACE}-", False),
        (f"00-{'0' * 32}{TRACE[35:]}", False),
        (f"{TRACE[:36]}{'0' * 16}-01", False),
        ("x", False),
    ],
)
def test_traceparent_is_kept_with_the_event_if_it_is_one(
    api: Served, given: str, kept: bool
) -> None:
    id = api.opened()
    sent = {"X_Correlation_Id": "r-1", "traceparent": given}
    assert api.post(f"/accounts/{id}/deposits", {"amount": 1}, **sent).status_code == 200
    expected = {"correlation_id": "r-1"} | ({"traceparent": given} if kept else {})
    assert api.store.read(id, after=1)[0].meta == expected
