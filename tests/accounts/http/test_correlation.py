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
