"""The aggregate logs are merged into commit order, a bounded number of rows at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from eventlab import ANY, Event, EventStore, Recorded
from eventlab.projections import logs
from eventlab.projections.logs import events_of_logs


class Replies:
    """Counts what each pipeline of a client returns."""

    def __init__(self, client: Any) -> None:
        self.rows: list[int] = []
        self.bytes: list[int] = []
        plain = client.pipeline

        def pipeline(**options: Any) -> Any:
            made = plain(**options)
            execute = made.execute

            def counted() -> Any:
                replies = execute()
                self.rows.append(sum(map(len, replies)))
                self.bytes.append(sum(len(row) for reply in replies for row in reply))
                return replies

            made.execute = counted
            return made

        client.pipeline = pipeline


@pytest.fixture
def replies(store: EventStore) -> Iterator[Replies]:
    yield Replies(store.redis)
    del store.redis.pipeline


def scatter(store: EventStore, aggregates: int, events: int, *, body: int = 0) -> list[Recorded]:
    """Append events to random aggregates, a random number at a time; return them in order."""
    dice = random.Random(7)
    left = events
    while left:
        count = min(left, dice.choice((1, 1, 1, 2, 5)))
        batch = [Event("x", {"body": "y" * dice.randrange(body + 1)})] * count
        store.append(f"a{dice.randrange(aggregates)}", batch, expected=ANY)
        left -= count
    return list(store.read_all())


@pytest.mark.parametrize(("aggregates", "events"), [(1, 50), (3, 400), (10, 10), (300, 500)])
@pytest.mark.parametrize("most", [1, 7, 200])
def test_logs_are_merged_into_the_order_of_the_stream(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, aggregates: int, events: int, most: int
) -> None:
    monkeypatch.setattr(logs, "MAX_LOGS", most)
    monkeypatch.setattr(logs, "MAX_ROWS", 10)
    recorded = scatter(store, aggregates, events)
    found = [event for event, _ in events_of_logs(store, after="0-0")]
    assert found == recorded
    later = [event for event, _ in events_of_logs(store, after=recorded[7].position)]
    assert later == recorded[8:]


def test_rows_of_one_reply_are_bounded_however_many_aggregates_there_are(
    store: EventStore, replies: Replies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_LOGS", 20)
    monkeypatch.setattr(logs, "MAX_ROWS", 2)  # it is for a few logs only
    recorded = scatter(store, 300, 1_200)
    assert [event for event, _ in events_of_logs(store, after="0-0")] == recorded
    assert max(replies.rows) <= 2 * 20
    assert sum(replies.rows) < 4 * len(recorded)  # each event is read a few times at most


def test_few_long_logs_are_read_by_large_pages(store: EventStore, replies: Replies) -> None:
    recorded = scatter(store, 3, 2_000)
    assert [event for event, _ in events_of_logs(store, after="0-0")] == recorded
    assert max(replies.rows) <= 3 * logs.MAX_ROWS
    assert len(replies.rows) < 20


def test_bytes_of_one_reply_are_bounded_by_the_size_of_the_events(
    store: EventStore, replies: Replies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_REPLY_BYTES", 50_000)
    recorded = scatter(store, 60, 300, body=10_000)
    assert [event for event, _ in events_of_logs(store, after="0-0")] == recorded
    # One reply may surprise: its rows may be larger than those before.
    assert max(replies.bytes) < 4 * 50_000
    assert sum(each <= 50_000 for each in replies.bytes) > 0.9 * len(replies.bytes)


def test_first_event_is_yielded_before_a_long_log_is_read_to_its_end(
    store: EventStore, replies: Replies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_REPLY_BYTES", 50_000)
    store.append("a", [Event("x", {"body": "y" * 10_000})] * 100, expected=ANY)
    next(events_of_logs(store, after="0-0"))
    assert sum(replies.bytes) < 2 * 50_000


def test_merge_ends_at_the_newest_event_of_its_begin(store: EventStore) -> None:
    recorded = scatter(store, 5, 50)
    merged = events_of_logs(store, after="0-0")
    first, _ = next(merged)
    scatter(store, 5, 50)
    assert [first, *(event for event, _ in merged)] == recorded


def test_long_runs_of_one_aggregate_are_not_read_again_and_again(
    store: EventStore, replies: Replies
) -> None:
    for number in range(2_000):
        run = [Event("x")] * 5
        store.append(f"a{number % 250}", run, expected=ANY)
    assert sum(1 for _ in events_of_logs(store, after="0-0")) == 10_000
    assert sum(replies.rows) < 3 * 10_000
