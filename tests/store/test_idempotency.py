"""Idempotency keys: for a day, the first outcome of a request is the outcome of its repeats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventlab import (
    ANY,
    EXISTS,
    NEW,
    CommandRejected,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidName,
    LogMissing,
)
from tests.support.store import append_deposits, contents, deposits

# ------------------------------------------------------------------------------- events


def test_repeat_returns_the_first_result_at_any_later_version(store: EventStore) -> None:
    append_deposits(store, "a", 1)
    first = store.append("a", deposits(5), expected=1, idempotency_key="key")
    append_deposits(store, "a", 2)
    before = contents(store)
    for expected in (NEW, 1, 4, EXISTS, ANY):
        assert store.append("a", deposits(5), expected=expected, idempotency_key="key") == first
    assert store.seen("a", "key") == first
    assert store.seen("b", "key") is None
    with pytest.raises(IdempotencyKeyReused):
        store.append("a", deposits(6), expected=4, idempotency_key="key")
    with pytest.raises(IdempotencyKeyReused):
        store.seen("a", "key", fingerprint="another")
    assert contents(store) == before
    assert 0 < store.redis.ttl(store.keys.idempotency("a", "key")) <= 86_400


def test_request_with_its_keys_in_another_order_is_the_same(store: EventStore) -> None:
    def append(data: dict[str, Any]) -> object:
        return store.append("a", [Event("x", data)], expected=NEW, idempotency_key="k")

    first = append({"a": 1, "b": {"c": 2, "d": 3}})
    assert append({"b": {"d": 3, "c": 2}, "a": 1}) == first
    with pytest.raises(IdempotencyKeyReused):
        append({"b": {"d": 3, "c": 1}, "a": 2})


def test_repeat_may_have_another_correlation_id(store: EventStore) -> None:
    def append(correlation_id: str) -> object:
        event = Event("x", {}, {"correlation_id": correlation_id})
        return store.append("a", [event], expected=0, idempotency_key="k")

    assert append("1") == append("2")


@pytest.mark.parametrize("fingerprint", [5, [1], b"x", "\ud800", True])
def test_append_rejects_a_fingerprint_that_is_not_text(store: EventStore, fingerprint: Any) -> None:
    with pytest.raises(InvalidName, match="fingerprint"):
        store.append("a", deposits(1), expected=NEW, idempotency_key="k", fingerprint=fingerprint)
    assert store.seen("a", "k") is None
    assert store.version("a") == 0


def test_record_keeps_its_json_format(store: EventStore) -> None:
    store.append("a", deposits(5, 6), expected=NEW, idempotency_key="k", fingerprint="f")
    assert store.redis.get(store.keys.idempotency("a", "k")) == b'["f",0,2]'
    with pytest.raises(CommandRejected):
        store.reject("a", "k2", Closed("a", "Friday"), fingerprint="g")
    assert json.loads(store.redis.get(store.keys.idempotency("a", "k2"))) == [
        "g", 0, 0, "Closed", "'a' is closed until Friday", {"id": "a", "until": "Friday"},
    ]  # fmt: skip


# --------------------------------------------------------------------------- rejections


class Rejection(CommandRejected):
    """A class between CommandRejected and the classes that are raised."""


class Closed(Rejection):
    """A rejection that the library has never heard of, with arguments and data of its own."""

    def __init__(self, id: str, until: str) -> None:
        self.id = id
        self.until = until
        super().__init__(f"{id!r} is closed until {until}")


def rejected(store: EventStore, key: str, fingerprint: str | None = None) -> CommandRejected:
    with pytest.raises(CommandRejected) as rejection:
        store.seen("a", key, fingerprint=fingerprint)
    return rejection.value


def test_repeat_raises_the_first_rejection_with_its_class_text_and_data(store: EventStore) -> None:
    first = Closed("a", "Friday")
    with pytest.raises(Closed) as raised:
        store.reject("a", "k", first, fingerprint="f")
    assert raised.value is first
    for again in (rejected(store, "k"), rejected(store, "k", "f")):
        assert (type(again), str(again), vars(again)) == (Closed, str(first), vars(first))
    with pytest.raises(Closed, match="Friday"):
        store.append("a", deposits(1), expected=NEW, idempotency_key="k", fingerprint="f")
    with pytest.raises(Closed, match="Friday"):  # the first outcome counts
        store.reject("a", "k", Closed("a", "Monday"), fingerprint="f")
    with pytest.raises(IdempotencyKeyReused):
        store.seen("a", "k", fingerprint="g")
    assert store.version("a") == 0


def test_rejection_of_a_class_that_is_gone_is_a_plain_one_with_its_text(store: EventStore) -> None:
    record = b'["f",0,0,"RemovedLongAgo","account \'a\' is frozen",{"id":"a"}]'
    store.redis.set(store.keys.idempotency("a", "k"), record)
    again = rejected(store, "k")
    assert (type(again), str(again)) == (CommandRejected, "account 'a' is frozen")
    assert vars(again) == {"id": "a"}


def test_rejection_classes_of_one_name_are_distinguished(store: EventStore) -> None:
    def same_name() -> type[CommandRejected]:
        class Twice(CommandRejected):
            pass

        return Twice

    def another() -> type[CommandRejected]:
        class Twice(CommandRejected):
            pass

        return Twice

    classes = [same_name(), another()]
    for key, kind in zip("kl", classes, strict=True):
        with pytest.raises(kind):
            store.reject("a", key, kind("no"), fingerprint="f")
    assert [type(rejected(store, key)) for key in "kl"] == classes


def test_rejection_keeps_only_the_data_that_json_can_represent(store: EventStore) -> None:
    rejection = CommandRejected("no")
    vars(rejection).update(n=1, names=["a", "b"], none=None, ratio=0.5, bad={1}, huge=10**5000)
    with pytest.raises(CommandRejected):
        store.reject("a", "k", rejection, fingerprint="f")
    assert vars(rejected(store, "k")) == {"n": 1, "names": ["a", "b"], "none": None, "ratio": 0.5}


def test_rejection_may_quote_half_an_emoji(store: EventStore) -> None:
    with pytest.raises(CommandRejected, match="coupon"):
        store.reject("a", "k", CommandRejected("no coupon \ud800"), fingerprint="f")
    assert str(rejected(store, "k")) == "no coupon \\ud800"


@pytest.mark.parametrize("fingerprint", [5, [1], b"x", "\ud800", True])
def test_reject_rejects_a_fingerprint_that_is_not_text(store: EventStore, fingerprint: Any) -> None:
    with pytest.raises(InvalidName, match="fingerprint"):
        store.reject("a", "k", CommandRejected("no"), fingerprint=fingerprint)
    assert store.seen("a", "k") is None


def test_repeat_names_a_log_that_has_lost_its_outcome(store: EventStore) -> None:
    append_deposits(store, "a", 5)
    store.append("a", deposits(6, 7), expected=5, idempotency_key="k")
    store.redis.rpop(store.keys.log("a"))
    with pytest.raises(LogMissing, match="'a'"):
        store.seen("a", "k")


def test_reject_returns_the_events_of_an_earlier_success(store: EventStore) -> None:
    first = store.append("a", deposits(5), expected=NEW, idempotency_key="k", fingerprint="f")
    assert store.reject("a", "k", CommandRejected("no"), fingerprint="f") == first
    assert store.seen("a", "k") == first  # the rejection has not replaced it
    with pytest.raises(IdempotencyKeyReused):
        store.reject("a", "k", CommandRejected("no"), fingerprint="g")


# ------------------------------------------------------------------------------- claims


def test_claim_is_for_one_request_of_the_whole_category(store: EventStore) -> None:
    store.idempotency.claim("k", "a", "deposit 5")
    store.idempotency.claim("k", "a", "deposit 5")
    for id, request in (("b", "deposit 5"), ("a", "deposit 6")):
        with pytest.raises(IdempotencyKeyReused):
            store.idempotency.claim("k", id, request)
    store.idempotency.claim("l", "b", "deposit 5")
    assert 0 < store.redis.ttl(store.keys.claim("k")) <= 86_400
