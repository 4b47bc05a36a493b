"""Protected fields: encrypted in Redis, clear for readers, unreadable without the key."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from redis import Redis

from eventlab import (
    FORGOTTEN,
    NEW,
    Aggregate,
    Changes,
    CorruptEvent,
    Event,
    EventStore,
    Forgotten,
    InvalidArgument,
    InvalidEvent,
    Lab,
    PersonForgotten,
    PersonKeyMissing,
    PersonKeys,
    Projector,
    Protection,
    Recorded,
    Repository,
    Subscription,
)
from eventlab.privacy import person_keys
from tests.support.private_redis import private_redis
from tests.support.store import contents
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("prompt_disk")

NAME = "Rosamund Quill"
FIELDS = {"registered": ["name", "email"], "moved": ["address"]}
REGISTERED = Event("registered", {"name": NAME, "email": "quill@example.com", "plan": "basic"})


class Customer(Aggregate):
    """Knows a name and counts orders."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.name = ""
        self.orders = 0

    def apply(self, event: Event | Recorded) -> None:
        """Evolve the state."""
        match event.type:
            case "registered":
                self.name = event.data["name"]
            case "ordered":
                self.orders += 1


class Customers:
    """One document per customer, with the name and the number of orders."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Take an event into the document of its customer."""
        match event.type:
            case "registered":
                changes[event.id].set("name", event.data["name"])
                changes[event.id].set("plan", event.data["plan"])
            case "ordered":
                changes[event.id].inc("orders", 1)


@pytest.fixture(autouse=True)
def no_wait_for_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``forget`` wait less for the memory of other processes: there are none."""
    monkeypatch.setattr(person_keys, "CACHE_SECONDS", 0.01)


@pytest.fixture
def keys(redis_client: Redis, category: str) -> PersonKeys:
    """The keys of this test's persons."""
    return PersonKeys(redis_client, f"{category}Keys")


@pytest.fixture
def private(
    request: pytest.FixtureRequest, redis_client: Redis, category: str, keys: PersonKeys
) -> EventStore:
    """A store with protected fields; the parameter is its number of slices."""
    slices = getattr(request, "param", 1)
    return EventStore(redis_client, category, slices=slices, protection=Protection(keys, FIELDS))


def plain(store: EventStore) -> EventStore:
    """Return the same category, as somebody without the keys reads it."""
    return EventStore(store.redis, store.category, slices=store.slices)


IN_SLICES = pytest.mark.parametrize("private", [1, 64], indirect=True, ids=["one", "slices"])


@IN_SLICES
def test_protected_field_is_clear_for_readers_and_encrypted_in_redis(private: EventStore) -> None:
    recorded = private.append("c1", [REGISTERED, Event("ordered", {"item": "lamp"})], expected=NEW)
    assert recorded[0].data == REGISTERED.data
    assert private.read("c1") == list(private.read_all()) == recorded
    stored = plain(private).read("c1")[0].data
    assert stored["plan"] == "basic"
    assert stored["name"].keys() == {"person", "sealed"}
    everything = b"".join(contents(private).values())
    assert NAME.encode() not in everything
    assert b"quill" not in everything


@IN_SLICES
def test_forgotten_person_is_unreadable_and_all_else_replays(
    private: EventStore, keys: PersonKeys
) -> None:
    private.append("c1", [REGISTERED, Event("ordered", {"item": "lamp"})], expected=NEW)
    private.append("c2", [REGISTERED], expected=NEW)
    customers = Repository(private, Customer)
    assert customers.load("c1").name == NAME
    assert keys.forget("c1").had_key
    first, second = private.read("c1")
    assert first.data == {"name": FORGOTTEN, "email": FORGOTTEN, "plan": "basic"}
    assert isinstance(first.data["name"], Forgotten)
    assert second.data == {"item": "lamp"}
    customer = customers.load("c1")  # a cached state would still have the name
    assert (customer.name, customer.orders) == ("(forgotten)", 1)
    assert private.read("c2")[0].data["name"] == NAME
    assert keys.is_forgotten("c1")
    assert not keys.is_forgotten("c2")


def test_forgotten_person_can_still_decide_but_stores_no_protected_field(
    private: EventStore, keys: PersonKeys
) -> None:
    private.append("c1", [REGISTERED], expected=NEW)
    keys.forget("c1")
    private.append("c1", [Event("ordered", {"item": "lamp"})], expected=1)
    with pytest.raises(PersonForgotten, match="'c1' was forgotten"):
        private.append("c1", [Event("moved", {"address": "Elm Street"})], expected=2)
    assert private.version("c1") == 2


@IN_SLICES
def test_view_and_rebuild_show_the_same_but_for_the_protected_field(
    private: EventStore, keys: PersonKeys, mongo: Database[dict[str, Any]]
) -> None:
    private.append("c1", [REGISTERED, Event("ordered", {"item": "lamp"})], expected=NEW)
    private.append("c2", [REGISTERED], expected=NEW)
    with Projector(private, mongo, Customers(private.category)) as projector:
        projector.catch_up()
        before = list(mongo[private.category].find().sort("_id"))
        keys.forget("c1")
        projector.rebuild()
        after = list(mongo[private.category].find().sort("_id"))
        projector.reset()
    assert before[0]["name"] == NAME
    assert after[0] == before[0] | {"name": "(forgotten)"}
    assert after[1:] == before[1:]


@IN_SLICES
def test_name_is_nowhere_after_forget(
    private: EventStore,
    keys: PersonKeys,
    mongo: Database[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="eventlab")
    private.append("c1", [REGISTERED], expected=NEW, idempotency_key="k", token="t")
    letters = Subscription(private, "letters", consumer="a", max_failures=1)
    [event] = letters.receive(1)
    assert event.data["name"] == NAME
    letters.fail(event, ValueError("no stamp"))
    with Projector(private, mongo, Customers(private.category)) as projector:
        projector.catch_up()
        keys.forget("c1")
        projector.rebuild()
        [parked] = letters.parked()
        assert parked.event is not None
        assert parked.event.data["name"] == FORGOTTEN
        found = (
            b"".join(contents(private).values())
            + repr([list(mongo[name].find()) for name in mongo.list_collection_names()]).encode()
        )
        projector.reset()
    assert NAME.encode() not in found
    assert NAME not in caplog.text


def test_repeat_with_token_or_idempotency_key_returns_the_first(private: EventStore) -> None:
    first = private.append("c1", [REGISTERED], expected=NEW, token="t")
    assert private.append("c1", [REGISTERED], expected=NEW, token="t") == first
    second = private.append("c1", [REGISTERED], expected=1, idempotency_key="k")
    assert private.append("c1", [REGISTERED], expected=1, idempotency_key="k") == second
    assert private.version("c1") == 2


def test_person_may_be_named_by_the_event(lab: Lab, category: str, keys: PersonKeys) -> None:
    protection = Protection(
        keys, {"commented": ["text"]}, person=lambda _, event: str(event.data["author"])
    )
    store = EventStore(lab.redis, category, protection=protection)
    texts = [("ann", "hers"), ("ben", "his")]
    events = [Event("commented", {"author": who, "text": text}) for who, text in texts]
    store.append("post-1", events, expected=NEW)
    keys.forget("ann")
    assert [event.data["text"] for event in store.read("post-1")] == [FORGOTTEN, "his"]


@pytest.mark.parametrize("key", ["id", "type", "field", "person", "content"])
def test_read_rejects_a_protected_field_that_was_changed(
    private: EventStore, keys: PersonKeys, key: str
) -> None:
    private.append("c1", [REGISTERED], expected=NEW)
    private.append("c2", [REGISTERED], expected=NEW)
    data = plain(private).read("c1")[0].data
    sealed = data["name"]
    moved = {
        "id": ("c2", "registered", {"name": sealed}),
        "type": ("c1", "moved", {"address": sealed}),
        "field": ("c1", "registered", {"email": sealed}),
        "person": ("c1", "registered", {"name": sealed | {"person": "c2"}}),
        "content": ("c1", "registered", {"name": sealed | {"sealed": "AAAA" + sealed["sealed"]}}),
    }
    id, type, changed = moved[key]
    plain(private).append(id, [Event(type, changed)], expected=1)
    with pytest.raises(CorruptEvent, match="cannot be decrypted"):
        private.read(id)


def test_read_names_a_key_that_this_redis_never_had(private: EventStore, lab: Lab) -> None:
    private.append("c1", [REGISTERED], expected=NEW)
    elsewhere = PersonKeys(lab.redis, f"{private.category}Elsewhere")
    other = EventStore(lab.redis, private.category, protection=Protection(elsewhere, FIELDS))
    with pytest.raises(PersonKeyMissing, match="has no key for 'c1'"):
        other.read("c1")


def test_append_rejects_what_looks_encrypted(private: EventStore) -> None:
    data = {"plan": {"person": "c2", "sealed": "AAAA"}}
    with pytest.raises(InvalidEvent, match="plan has the form of an encrypted field"):
        private.append("c1", [Event("registered", data)], expected=NEW)
    with pytest.raises(InvalidEvent, match="name would be different after a JSON round trip"):
        private.append("c1", [Event("registered", {"name": {1, 2}})], expected=NEW)
    assert private.version("c1") == 0


def test_event_from_before_the_protection_stays_readable(private: EventStore) -> None:
    plain(private).append("c1", [REGISTERED], expected=NEW)
    assert private.read("c1")[0].data == REGISTERED.data


@pytest.mark.parametrize("fields", [{}, {"registered": []}, {"registered": "name"}])
def test_protection_rejects_fields_that_protect_nothing(keys: PersonKeys, fields: Any) -> None:
    with pytest.raises(InvalidArgument, match="must map each event type"):
        Protection(keys, fields)


def test_repository_rejects_snapshots_of_protected_fields(private: EventStore) -> None:
    with pytest.raises(InvalidArgument, match="would store protected fields unencrypted"):
        Repository(private, Customer, snapshot_every=10)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=JSON, other=JSON)
def test_any_json_comes_back_as_it_was(keys: PersonKeys, name: Any, other: Any) -> None:
    protection = Protection(keys, FIELDS)
    event = Event("registered", {"name": name, "plan": other})
    with contextlib.suppress(InvalidEvent):  # ``other`` may look encrypted
        sealed = protection.seal("c1", event)
        assert sealed == protection.seal("c1", event)
        recorded = Recorded("c1", 1, sealed.type, sealed.data, "1-0", None)
        assert protection.reveal(recorded).data == event.data


def test_key_is_gone_from_the_disk_of_redis(tmp_path: Path) -> None:
    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in (tmp_path / "appendonlydir").iterdir())

    with private_redis(tmp_path, "--appendonly", "yes") as redis:
        keys = PersonKeys(redis)
        secret = keys.key_for_writing("c1")
        other = keys.key_for_writing("c2")
        assert secret in on_disk()
        assert keys.forget("c1").rewritten
        wait_until(lambda: secret not in on_disk())  # Redis deletes the old file in a thread
        assert other in on_disk()
