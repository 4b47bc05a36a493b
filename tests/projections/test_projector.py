"""A projector reports its lag, waits for a version, skips an event and starts over."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from eventlab import (
    Event,
    EventStore,
    InvalidArgument,
    VersionConflict,
    ViewLag,
    ViewLate,
    ViewStopped,
)
from eventlab.accounts import AccountService, AccountView
from eventlab.projections import lag as projection
from eventlab.projections.checkpoint import Checkpoint
from eventlab.projections.projector import Projector
from tests.projections.support import fill, funds, kill_in_transaction, open_transactions


def test_projector_writes_the_document_of_the_original_post(
    redis_client: redis.Redis, category: str, mongo: Any, documents: Any
) -> None:
    times = iter([1551312621884, 1551312827949, 1551312847014])
    store = EventStore(redis_client, category, clock=times.__next__)
    service = AccountService(store)
    service.create("JohnDoe")
    service.deposit("JohnDoe", 100)
    service.withdraw("JohnDoe", 100)
    with Projector(store, mongo, AccountView(category)) as projector:
        assert projector.run_once() == 3
    timestamps = ["1551312621884-0", "1551312827949-0", "1551312847014-0"]
    assert list(documents.find()) == [
        {"_id": "JohnDoe", "funds": 0, "version": 3, "timestamps": timestamps}
    ]


def test_lag_is_counted_from_the_position(store: EventStore, projector: Projector) -> None:
    assert (projector.lag().events, projector.lag().position) == (0, "0-0")
    fill(store, 5)
    lag = projector.lag()
    assert (lag.events, lag.exact) == (8, True)
    assert 0 <= lag.seconds < 600
    projector.catch_up()
    assert projector.lag() == ViewLag(store.head(), 0, 0.0, True)


def test_long_lag_is_reported_as_an_estimate(
    store: EventStore, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "MAX_COUNTED_EVENTS", 5)
    fill(store, 5)
    assert (projector.lag().events, projector.lag().exact) == (8, False)


def test_lag_of_large_events_is_counted_up_to_a_number_of_bytes(
    store: EventStore, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "MAX_COUNTED_BYTES", 250_000)
    monkeypatch.setattr(projection, "COUNTED_AT_ONCE", 5)
    store.append("a", [Event("x", {"body": "y" * 10_000})] * 100, expected=0)
    before = store.redis.info("commandstats")["cmdstat_xrange"]["calls"]
    lag = projector.lag()
    assert (lag.events, lag.exact) == (100, False)
    pages = store.redis.info("commandstats")["cmdstat_xrange"]["calls"] - before
    assert pages == 5
    monkeypatch.setattr(projection, "MAX_COUNTED_BYTES", 10_000_000)
    assert (projector.lag().events, projector.lag().exact) == (100, True)


def test_wait_until_lets_writers_read_their_writes(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(stop,), kwargs={"poll_interval": 0.05})
    thread.start()
    with Projector(store, projector.mongo, projector.view) as reader:
        for version in range(1, 21):
            kind, data = ("deposit", {"amount": 1}) if version > 1 else ("create", {})
            store.append("a", [Event(kind, data)], expected=version - 1)
            reader.wait_until("a", version, seconds=60)
            assert documents.find_one("a")["version"] >= version
    stop.set()
    thread.join()


def test_wait_until_fails_when_the_version_is_not_reached(
    store: EventStore, projector: Projector
) -> None:
    fill(store, 1)
    with pytest.raises(ViewLate, match="eventlab project"):
        projector.wait_until("account-0", 2, seconds=0.05)
    with pytest.raises(VersionConflict):
        projector.wait_until("account-0", 3)


def test_skip_passes_over_the_named_event_only(
    store: EventStore, projector: Projector, documents: Any
) -> None:
    fill(store, 3)
    bad = store.append("account-0", [Event("bonus", {"amount": 5})], expected=2)[0]
    fill(store, 3)
    with pytest.raises(ViewStopped):
        projector.catch_up()
    for other in (store.head(), "1-1"):
        with pytest.raises(InvalidArgument, match=bad.position):
            projector.skip(other)
    projector.skip(bad.position)
    projector.catch_up()
    assert funds(documents) == 6
    with pytest.raises(InvalidArgument, match="the end of the stream"):
        projector.skip(bad.position)


def test_reset_does_not_wait_for_a_dead_projector(
    store: EventStore,
    projector: Projector,
    documents: Any,
    mongo: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, 3)
    others = open_transactions(mongo)
    kill_in_transaction(store.category)
    assert open_transactions(mongo) == others + 1
    plain = Checkpoint.delete

    def delete(checkpoint: Checkpoint) -> None:
        # MongoDB makes a write wait for an open transaction, for up to 60 s.
        assert open_transactions(mongo) <= others
        plain(checkpoint)

    monkeypatch.setattr(Checkpoint, "delete", delete)
    projector.reset()
    assert projector.catch_up() == 6
