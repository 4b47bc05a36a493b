"""Causes: what is appended while an event is handled names that event, and nothing else does."""

from __future__ import annotations

import pytest

from eventlab import NEW, Event, EventStore, InvalidEvent, Recorded
from eventlab.accounts import AccountService
from eventlab.store.causes import caused_by

CAUSE = Recorded("JohnDoe", 2, "deposit", {"amount": 5}, "1-0")
NAME = "accountStream/JohnDoe/2"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_append_in_a_handler_names_the_event_that_it_handles(store: EventStore) -> None:
    with caused_by(CAUSE, "accountStream"):
        event = store.append("a", [Event("sent")], expected=NEW)[0]
    assert event.meta == {"correlation_id": NAME, "causation_id": NAME}
    assert store.read("a") == [event] == list(store.read_all())


def test_append_in_a_handler_keeps_the_correlation_and_the_trace(store: EventStore) -> None:
    meta = {"correlation_id": "r-1", "traceparent": TRACE, "by": "me"}
    cause = Recorded("JohnDoe", 2, "deposit", {}, "1-0", meta)
    with caused_by(cause, "accountStream"):
        event = store.append("a", [Event("sent", {}, {"causation_id": "mine"})], expected=NEW)[0]
    expected = {"correlation_id": "r-1", "causation_id": "mine", "traceparent": TRACE}
    assert event.meta == expected


def test_append_outside_a_handler_writes_no_second_field(store: EventStore) -> None:
    with pytest.raises(LookupError), caused_by(CAUSE, "accountStream"):
        raise LookupError
    store.append("a", [Event("sent")], expected=NEW)
    [(_, fields)] = store.redis.xrange(store.keys.stream)
    assert list(fields) == [b"event"]


def test_service_in_a_handler_records_the_cause(store: EventStore) -> None:
    service = AccountService(store)
    with caused_by(CAUSE, "accountStream"):
        assert service.create("a").meta == {"correlation_id": NAME, "causation_id": NAME}
        with caused_by(store.read("a")[0], store.category):
            meta = service.deposit("a", 5).meta
    assert meta == {"correlation_id": NAME, "causation_id": f"{store.category}/a/1"}


def test_repeat_in_a_handler_is_recognized(store: EventStore) -> None:
    for _ in range(2):
        with caused_by(CAUSE, "accountStream"):
            store.append("a", [Event("sent")], expected=NEW, token="t", idempotency_key=None)
            store.append("b", [Event("sent")], expected=NEW, idempotency_key="k")
    assert (store.version("a"), store.version("b")) == (1, 1)


def test_bad_meta_in_a_handler_is_rejected(store: EventStore) -> None:
    with caused_by(CAUSE, "c"), pytest.raises(InvalidEvent, match="meta must be a dict or None"):
        store.append("a", [Event("sent", {}, [])], expected=NEW)  # type: ignore[arg-type]
