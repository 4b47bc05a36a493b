"""given/shows of a view: the same documents as in MongoDB, without MongoDB."""

from __future__ import annotations

import operator
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from pymongo.database import Database
from pymongo.errors import WriteError

from eventlab import (
    NEW,
    Changes,
    Event,
    EventStore,
    InvalidArgument,
    InvalidName,
    JoinedProjector,
    Projector,
    Recorded,
)
from eventlab.accounts.views import AccountView, EventsByType, MoneyPerDay
from eventlab.testing import view
from eventlab.testing.documents import UpdateRefused, updated
from tests.support.examples import examples

CREATE = Event("create")
DEPOSIT = Event("deposit", {"amount": 100})


class Anything:
    """A view whose events say what it does: ``[[operation, field, value], …]``."""

    name = "anything"

    def apply(self, event: Recorded, changes: Changes) -> None:
        for operation, *arguments in event.data["do"]:
            if operation == "push":
                changes[event.type].push(*arguments, keep=2)
            else:
                getattr(changes[event.type], operation)(*arguments)


class Forgetful:
    """A broken view: it counts in memory."""

    name = "forgetful"

    def __init__(self) -> None:
        self.count = 0

    def apply(self, event: Recorded, changes: Changes) -> None:
        self.count += 1
        changes[event.id].set("events", self.count)


def failure(check: Any, *args: object) -> str:
    """Return what a check that must fail says."""
    with pytest.raises(AssertionError) as caught:
        check(*args)
    return str(caught.value)


def test_shows_accepts_the_whole_document() -> None:
    account = view(AccountView()).given(CREATE, DEPOSIT, id="JohnDoe")
    document = {"funds": 100, "timestamps": ["1-0", "2-0"], "version": 2}
    account.shows("JohnDoe", document).shows("JohnDoe", {"_id": "JohnDoe", **document})
    account.shows("JaneDoe", None)


def test_shows_rejects_another_document_and_shows_the_difference() -> None:
    account = view(AccountView).given(CREATE, DEPOSIT, id="JohnDoe")
    wrong = {"funds": 10, "timestamps": ["1-0", "2-0"], "version": 2}
    lines = failure(account.shows, "JohnDoe", wrong).splitlines()
    assert lines[0] == (
        "document 'JohnDoe' of view 'accountCollection' is not as expected (- expected, + shown):"
    )
    assert [line for line in lines if line.startswith(("- ", "+ "))] == [
        "-  'funds': 10,",
        "+  'funds': 100,",
    ]
    assert lines[-2:] == ["  'JohnDoe' create {}", "  'JohnDoe' deposit {'amount': 100}"]


@pytest.mark.parametrize("wrong", [None, {"events": 1}, {"events": True, "last": "1-0"}])
def test_shows_rejects_a_document_in_part(wrong: dict[str, object] | None) -> None:
    assert "is not as expected" in failure(view(EventsByType).given(CREATE).shows, "create", wrong)
    assert "is not as expected" in failure(view(EventsByType).shows, "create", {"events": 1})


class Nameless:
    """A broken view: it names no collection."""

    def apply(self, event: Recorded, changes: Changes, category: str = "") -> None:
        changes[event.id].inc("events", 1)


def test_view_without_a_name_is_rejected_like_a_projector_does(
    store: EventStore, mongo: Any
) -> None:
    nameless: Any = Nameless
    other = EventStore(store.redis, f"{store.category}Other")
    for make in (
        lambda: view(nameless),
        lambda: view(nameless()),
        lambda: Projector(store, mongo, nameless()),
        lambda: JoinedProjector([store, other], mongo, nameless()),
    ):
        with pytest.raises(InvalidName, match="view name '' must be a non-empty string"):
            make()


@pytest.mark.parametrize("name", ["projections", "", "a$b", ".a", None, 7])
def test_view_with_a_name_that_no_collection_can_have_is_rejected(name: Any) -> None:
    with pytest.raises(InvalidName):
        view(EventsByType(name))


def test_given_returns_a_new_scenario_and_changes_nothing() -> None:
    before = view(AccountView).given(CREATE, id="JohnDoe")
    before.given(DEPOSIT, id="JohnDoe").given(CREATE, id="JaneDoe")
    assert before.documents().keys() == {"JohnDoe"}
    before.shows("JohnDoe", {"funds": 0, "timestamps": ["1-0"], "version": 1})


def test_given_numbers_several_aggregates_and_takes_times() -> None:
    day = datetime(2019, 2, 28, 23, 59, 59, tzinfo=UTC)
    scenario = view(MoneyPerDay).given(CREATE, DEPOSIT, id="a", at=day).given(DEPOSIT, id="b")
    scenario.shows("2019-02-28", {"deposited": 200, "withdrawn": 0, "events": 2})
    assert [(e.id, e.version, e.position) for e in scenario.history] == [
        ("a", 1, "1551398399000-0"),
        ("a", 2, "1551398399000-1"),
        ("b", 1, "1551398399001-0"),
    ]
    with pytest.raises(InvalidArgument, match="no time zone"):
        view(MoneyPerDay).given(DEPOSIT, at=datetime(2019, 2, 28))
    with pytest.raises(InvalidArgument, match="commit order"):
        scenario.given(DEPOSIT, at=datetime(2019, 2, 27, tzinfo=UTC))


def test_stops_returns_the_error_of_the_last_event() -> None:
    scenario = view(AccountView).given(CREATE, Event("close"))
    assert isinstance(scenario.stops(ValueError, "unknown account event type 'close'"), ValueError)
    assert "expected KeyError" in failure(scenario.stops, KeyError)
    assert "'x' is not in the text" in failure(scenario.stops, ValueError, "x")
    assert "stopped at 2-0 ('close', version 2 of 'example')" in failure(scenario.documents)
    assert "applied every event, but was expected to stop" in failure(
        view(AccountView).given(CREATE).stops, ValueError
    )
    assert "stopped at 2-0" in failure(scenario.given(DEPOSIT).stops, ValueError)


def test_shows_notices_a_view_that_keeps_state() -> None:
    text = failure(view(Forgetful).given(CREATE, CREATE).shows, "example", {"events": 2})
    assert "depends on how the events are batched" in text


class Customers:
    """A view of two categories, whose documents depend on nothing but the events."""

    name = "customers"

    def apply(self, event: Recorded, changes: Changes, category: str) -> None:
        changes[event.id].inc(category, event.data.get("amount", 1))


class Latest(Customers):
    """A broken view: it depends on which category comes last."""

    def apply(self, event: Recorded, changes: Changes, category: str) -> None:
        changes[event.id].set("latest", category)


def test_given_takes_the_category_of_a_joined_view() -> None:
    kit = view(Customers).given(CREATE, DEPOSIT, id="a", category="accounts")
    kit = kit.given(CREATE, id="a", category="mails").given(DEPOSIT, id="a", category="accounts")
    kit.shows("a", {"accounts": 201, "mails": 1})
    assert [(event.version, event.position) for event in kit.history] == [
        (1, "1-0"),
        (2, "2-0"),
        (1, "1-0"),
        (3, "3-0"),
    ]


def test_shows_notices_a_joined_view_that_depends_on_the_order_of_categories() -> None:
    kit = view(Latest).given(CREATE, category="accounts").given(CREATE, category="mails")
    with pytest.raises(AssertionError) as failure:
        kit.shows("example", {"latest": "mails"})
    text = str(failure.value)
    assert "depends on the order of events of different categories" in text
    assert "all of 'mails' first" in text
    assert "mails 'example'" in text
    view(Latest).given(CREATE, CREATE, category="mails").shows("example", {"latest": "mails"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("", 1), ("a.", 1), ("big", 2**63), ("a", {1, 2}), ("a\0", 1)],
)
def test_view_stops_at_what_mongodb_cannot_store(field: str, value: object) -> None:
    class Setting:
        name = "setting"

        def apply(self, event: Recorded, changes: Changes) -> None:
            changes["x"].set(field, value)

    view(Setting).given(CREATE).stops(Exception)


class Basket:
    """A view that begins a map with its first item, in one event or in two."""

    name = "basket"

    def apply(self, event: Recorded, changes: Changes) -> None:
        basket = changes[event.id]
        if event.data.get("new"):
            basket.set("items", {})
        if item := event.data.get("item"):
            basket.set(f"items.{item}", 1)


def test_view_stops_at_an_event_that_changes_a_field_and_one_inside_it() -> None:
    both = view(Basket).given(Event("put", {"new": True, "item": "tea"}))
    both.stops(UpdateRefused, "cannot update 'items.tea' and 'items' together")


def test_batch_that_mongodb_would_not_accept_is_halved_as_a_projector_does() -> None:
    events = [Event("put", {"new": True}), Event("put", {"item": "tea"})]
    view(Basket).given(*events).shows("example", {"items": {"tea": 1}})


def test_unknown_operator_is_named() -> None:
    with pytest.raises(UpdateRefused, match=r"does not support \$rename"):
        updated({}, {"$rename": {"a": "b"}})


FIELDS = st.sampled_from(["a", "b", "a.b", "a.c", "b.c.d"])
VALUES = st.one_of(st.integers(-5, 5), st.text("xy", max_size=2), st.just({"b": 1}), st.just([1]))
UPDATES = st.one_of(
    st.builds(lambda f, v: {"$set": {f: v}}, FIELDS, VALUES),
    st.builds(lambda f, v: {"$inc": {f: v}}, FIELDS, st.integers(-5, 5)),
    st.builds(lambda f: {"$unset": {f: ""}}, FIELDS),
    st.builds(
        lambda f, v, keep: {"$push": {f: {"$each": v, "$slice": keep}}},
        FIELDS,
        st.lists(VALUES, max_size=3),
        st.integers(-3, 3),
    ),
)


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    updates=st.lists(UPDATES | st.builds(operator.or_, UPDATES, UPDATES), min_size=1, max_size=6)
)
def test_update_has_the_same_result_as_in_mongodb(
    updates: list[dict[str, Any]], mongo: Database[dict[str, Any]], category: str
) -> None:
    collection = mongo[category]
    collection.replace_one({"_id": 1}, {"a": {"c": 0}}, upsert=True)
    document: dict[str, Any] = {"_id": 1, "a": {"c": 0}}
    for update in updates:
        try:
            collection.update_one({"_id": 1}, update)
        except WriteError:
            with pytest.raises(UpdateRefused):
                updated(document, update)
        else:
            document = updated(document, update)
        assert document == collection.find_one({"_id": 1})


def test_kit_and_projector_make_the_same_documents(
    store: EventStore, mongo: Database[dict[str, Any]]
) -> None:
    class Mixed(Anything):
        name = store.category

    steps: list[list[list[Any]]] = [
        [["inc", "n", 1], ["push", "list", 1], ["set", "x.y", "z"]],
        [["inc", "n", 2], ["push", "list", {"a": [1]}], ["inc", "x.n", 2**40]],
        [["push", "list", 2.5], ["inc", "x.n", -(2**40)], ["set", "x.y", None]],
    ]
    events = store.append("a", [Event("doc", {"do": step}) for step in steps], expected=NEW)
    Projector(store, mongo, Mixed()).catch_up()
    [document] = mongo[store.category].find()
    view(Mixed).given(*events).shows("doc", document)


@pytest.mark.parametrize("batch_size", [1, 100])
@pytest.mark.parametrize(
    "steps",
    [
        [[["inc", "n", 1]], [["delete"]]],
        [[["inc", "n", 1], ["set", "old", 1]], [["delete"]], [["inc", "n", 5]]],
        [[["delete"], ["set", "a", 1]], [["delete"]], [["set", "b", 2]]],
        [[["set", "a", 1], ["set", "b", 1]], [["unset", "a"]]],
        [[["set", "a", 1]], [["unset", "a"], ["set", "a", 2]]],
        [[["push", "list", 1]], [["delete"]], [["push", "list", 2]]],
        [[["unset", "never"]]],
    ],
)
def test_projector_deletes_and_unsets_whatever_the_batch(
    store: EventStore,
    mongo: Database[dict[str, Any]],
    steps: list[list[list[Any]]],
    batch_size: int,
) -> None:
    class Mixed(Anything):
        name = store.category

    events = store.append("a", [Event("doc", {"do": step}) for step in steps], expected=NEW)
    with Projector(store, mongo, Mixed(), batch_size=batch_size) as projector:
        while projector.run_once():
            pass
    view(Mixed).given(*events).shows("doc", mongo[store.category].find_one("doc"))
