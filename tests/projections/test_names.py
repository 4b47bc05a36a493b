"""The name of a view can be that of its collection, its checkpoint and its group."""

from __future__ import annotations

from typing import Any

import pytest

from eventlab import Event, EventStore, InvalidName, Projector, Subscription, TrimRefused
from eventlab.accounts import EventsByType
from tests.projections.support import fill


@pytest.mark.parametrize(
    "name",
    [
        "projections",
        "projectors",
        "",
        "a$b",
        "system.views",
        "a\0b",
        ".a",
        "a.",
        "a..b",
        "accounts.rebuild-0123abcd",
        "ü" * 115,
        "\ud83d",
        None,
        7,
    ],
)
def test_view_is_rejected_for_a_name_that_its_collection_cannot_have(
    store: EventStore, mongo: Any, name: Any
) -> None:
    with pytest.raises(InvalidName):
        Projector(store, mongo, EventsByType(name))


def test_longest_name_of_a_view_can_be_rebuilt(store: EventStore, mongo: Any) -> None:
    name = store.category + "x" * (229 - len(store.category))
    fill(store, 1)
    with Projector(store, mongo, EventsByType(name)) as projector:
        projector.catch_up()
        assert projector.rebuild(progress=False) == 2
        projector.reset()
    mongo[name].drop()
    with pytest.raises(InvalidName, match="up to 229 bytes"):
        Projector(store, mongo, EventsByType(name + "x"))


def test_view_and_subscription_of_the_same_name_do_not_collide(
    store: EventStore, mongo: Any, documents: Any
) -> None:
    letters = Subscription(store, store.category, consumer="c")
    [first] = store.append("a", [Event("x")], expected=0)
    with Projector(store, mongo, EventsByType(store.category)) as projector:
        projector.catch_up()
        assert letters.lag().new == 1
        assert letters.receive() == [first]
        projector.rebuild(progress=False)
        assert letters.lag().pending == 1
        store.append("a", [Event("x")], expected=1)
        letters.ack(letters.receive())
        letters.ack([first])
        with pytest.raises(TrimRefused, match=f"view {store.category}"):
            store.trim(before="99999999999999-0")  # the view has not counted the second event
        projector.reset()
        assert letters.lag().events == 0
        assert letters.receive() == []


@pytest.mark.parametrize("name", ["view letters", "view "])
def test_subscription_cannot_have_the_name_of_a_views_group(store: EventStore, name: str) -> None:
    with pytest.raises(InvalidName, match="reserved for views"):
        Subscription(store, name, consumer="c")
