"""A change that MongoDB or its driver cannot store stops the view at exactly that event."""

from __future__ import annotations

import datetime
import decimal
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.errors import BulkWriteError

from eventlab import NEW, Changes, Event, EventStore, Projector, Recorded, ViewStopped
from eventlab.accounts import AccountView, MoneyPerDay
from eventlab.projections.follower import Follower, Refused

BEFORE = 13
AFTER = 6


class Counting:
    """A view that counts the events in one document, and does something else at bad ones."""

    def __init__(self, name: str, bad: Callable[[Recorded, Changes], None]) -> None:
        self.name = name
        self._bad = bad

    def apply(self, event: Recorded, changes: Changes) -> None:
        if event.type == "bad":
            self._bad(event, changes)
        else:
            changes["all"].inc("events", 1)


def _inc_and_set(event: Recorded, changes: Changes) -> None:
    changes["both"].inc("a", 1)
    changes["both"].set("a.b", 1)


def setting(value: Any, field: str = "field") -> Callable[[Recorded, Changes], None]:
    def bad(event: Recorded, changes: Changes) -> None:
        changes["other"].set(field, value)

    return bad


BAD: dict[str, Callable[[Recorded, Changes], None]] = {
    "an integer over 8 bytes": setting(2**63),
    "a key with NUL": setting({"a\0b": 1}),
    "a Decimal": setting(decimal.Decimal(1)),
    "a set": setting({1}),
    "a date": setting(datetime.date(2019, 2, 28)),
    "a lone surrogate": setting("\ud83d"),
    "no field name": setting(1, ""),
    "a field that ends in a dot": setting(1, "a."),
    "a document over 16 MB": setting("x" * 17_000_000),
    "inc and set below it": _inc_and_set,
    "inc of a text": lambda event, changes: changes["text"].inc("text", 1),
    "a unique index": lambda event, changes: changes["twin"].set("unique", 1),
    "a validator": lambda event, changes: changes["invalid"].set("forbidden", 1),
    "an increment past 8 bytes": lambda event, changes: changes["large"].inc("sum", 2**62),
}


@pytest.mark.parametrize("what", BAD)
def test_event_that_cannot_be_stored_is_named_and_all_before_it_are_applied(
    store: EventStore, mongo: Any, documents: Any, what: str
) -> None:
    mongo.create_collection(documents.name, validator={"forbidden": {"$exists": False}})
    documents.create_index("unique", unique=True, sparse=True)
    first = Event("good")
    with Projector(store, mongo, Counting(documents.name, BAD[what])) as projector:
        projector.catch_up()  # creates the checkpoint, before there are documents
        documents.insert_many(
            [
                {"_id": "text", "text": "x"},
                {"_id": "one", "unique": 1},
                {"_id": "large", "sum": 2**62},
            ]
        )
        recorded = store.append(
            "a", [first] * BEFORE + [Event("bad")] + [first] * AFTER, expected=NEW
        )
        for _ in range(2):
            with pytest.raises(ViewStopped) as stopped:
                projector.catch_up()
            assert stopped.value.event == recorded[BEFORE]
            assert documents.find_one("all")["events"] == BEFORE
        sentence = str(stopped.value)
        assert len(sentence) < 1_000
        assert "full error" not in sentence
        assert "\n" not in sentence
        assert pickle.loads(pickle.dumps(stopped.value)).event == recorded[BEFORE]
        projector.skip(recorded[BEFORE].position)
        assert projector.catch_up() == AFTER
        assert documents.find_one("all")["events"] == BEFORE + AFTER


def test_refused_write_is_reported_with_its_own_message(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    mongo.create_collection(documents.name, validator={"forbidden": {"$exists": False}})
    store.append("a", [Event("bad")], expected=NEW)
    view = Counting(documents.name, BAD["a validator"])
    with Projector(store, mongo, view) as projector, pytest.raises(ViewStopped) as stopped:
        projector.catch_up()
    assert isinstance(stopped.value.error, BulkWriteError)
    assert "BulkWriteError: Document failed validation" in str(stopped.value)


def test_rebuild_stops_at_an_event_that_cannot_be_stored(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    store.append("a", [Event("good")] * 9, expected=NEW)
    with Projector(store, mongo, Counting(documents.name, BAD["a set"])) as projector:
        projector.catch_up()
        [bad] = store.append("a", [Event("bad")], expected=9)
        store.redis.xtrim(store.category, maxlen=4)  # the rest is read from the aggregate logs
        with pytest.raises(ViewStopped) as stopped:
            projector.rebuild(progress=False)
    assert stopped.value.event == bad
    assert documents.find_one("all")["events"] == 9


def test_deposit_that_no_document_can_hold_stops_the_accounts_by_name(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    events = [Event("create"), Event("deposit", {"amount": 2**63})]
    recorded = store.append("JohnDoe", events, expected=NEW)
    with (
        Projector(store, mongo, AccountView(store.category)) as projector,
        pytest.raises(ViewStopped, match="8-byte ints") as stopped,
    ):
        projector.catch_up()
    assert stopped.value.event == recorded[1]
    assert documents.find_one("JohnDoe")["version"] == 1


@pytest.mark.parametrize(("batch_size", "bits"), [(1, 61), (5000, 53)])
def test_day_whose_money_passes_8_bytes_stops_by_name(
    store: EventStore, mongo: Any, documents: Any, batch_size: int, bits: int
) -> None:
    """The sum over all accounts exceeds 8 bytes long before a single account does."""
    fit = 2 ** (63 - bits) - 1
    moves = [Event(kind, {"amount": 2**bits}) for kind in ("deposit", "withdraw")] * (fit + 9)
    recorded = store.append("JohnDoe", [Event("create"), *moves], expected=NEW)
    view = MoneyPerDay(store.category)
    with Projector(store, mongo, view, batch_size=batch_size) as projector:
        with pytest.raises(ViewStopped) as stopped:
            projector.catch_up()
        assert stopped.value.event == recorded[2 * fit + 1]
        with pytest.raises(ViewStopped):
            projector.rebuild(progress=False)
    [day] = documents.find()
    assert day["deposited"] == fit * 2**bits


class EachVersion:
    """A view with a document for each event of an aggregate."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        changes[event.version].set("type", event.type)


class Copies:
    """A view that keeps far more of an event than the event has."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        changes[event.version].set("body", "y" * 1_000_000)


def test_batch_that_does_not_fit_the_cache_of_mongodb_is_halved(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    count = 300  # MB: the lab's mongod has a cache of 256 MB
    store.append("a", [Event("x")] * count, expected=NEW)
    with Projector(store, mongo, Copies(documents.name)) as projector:
        assert projector.catch_up() == count
    assert documents.count_documents({}) == count
    documents.drop()


def test_batches_grow_slowly_after_one_that_does_not_fit(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is rejected costs as much as a batch that fits."""
    most = 8  # documents that fit
    refused: list[int] = []
    plain = Follower._write

    def write(follower: Follower, changes: Changes, *args: Any) -> bool:
        if len(changes) > most:
            refused.append(len(changes))
            raise Refused(ValueError("too large"))
        return plain(follower, changes, *args)

    monkeypatch.setattr(Follower, "_write", write)
    store.append("a", [Event("deposit")] * 200, expected=NEW)
    with Projector(store, mongo, EachVersion(documents.name), batch_size=100) as projector:
        assert projector.catch_up() == 200
    assert refused[:4] == [100, 50, 25, 12]
    assert len(refused) < 200 // most // 2


def test_batch_ends_by_the_size_of_its_events(
    store: EventStore, mongo: Any, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlab.projections.read_ahead.MAX_BATCH_BYTES", 100_000)
    body = Event("x", {"body": "y" * 30_000})
    store.append("a", [Event("x")] * 10 + [body] * 10, expected=NEW)
    view = Counting(documents.name, BAD["a set"])
    for trimmed in (False, True):
        with Projector(store, mongo, view) as projector:
            projector.reset()
            if trimmed:
                store.redis.xtrim(store.category, maxlen=1)
                projector.rebuild(progress=False)
            else:
                sizes = [projector.run_once() for _ in range(3)]
                assert sizes == [14, 4, 2]
        assert documents.find_one("all")["events"] == 20
