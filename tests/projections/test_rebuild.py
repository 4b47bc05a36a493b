"""A view can be rebuilt while it is read, completely, even after a trim."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from eventlab import (
    Changes,
    EventStore,
    Projector,
    Recorded,
    Trimmed,
    TrimRefused,
    ViewStopped,
)
from eventlab.accounts import AccountView, EventsByType, MoneyPerDay
from eventlab.projections.rebuild import Rebuild
from eventlab.projections.session import ProjectorSession
from tests.projections.support import fill, funds, left_over


def test_rebuild_equals_a_catch_up_from_the_start(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 30)
    projector.catch_up()
    before = list(mongo[store.category].find().sort("_id"))
    mongo[store.category].update_many(
        {}, {"$inc": {"funds": 7}}
    )  # as an earlier bug of the view left it
    mongo[store.category].create_index("funds", name="by funds")
    assert projector.rebuild(progress=False) == 33
    assert list(mongo[store.category].find().sort("_id")) == before
    assert mongo[store.category].index_information().keys() == {"_id_", "by funds"}
    fill(store, 6)
    assert projector.catch_up() == 6
    assert funds(mongo[store.category]) == 36
    assert left_over(mongo, store) == []


def test_rebuild_of_an_empty_category_counts_nothing(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    assert projector.rebuild(progress=False) == 0
    fill(store, 3)
    projector.catch_up()
    assert funds(mongo[store.category]) == 3


@pytest.mark.parametrize("view", [AccountView, MoneyPerDay, EventsByType])
@pytest.mark.parametrize("how", ["trimmed", "trimmed by another program", "with a hole"])
def test_rebuild_is_complete_after_a_trim(
    store: EventStore, mongo: Any, view: Any, how: str
) -> None:
    with Projector(store, mongo, view(store.category), batch_size=7) as projector:
        fill(store, 40)
        projector.catch_up()
        before = list(mongo[store.category].find().sort("_id"))
        half = [event.position for event in store.read_all()][20]
        if how == "trimmed":
            assert store.trim(before=half) == 20
        elif how == "with a hole":
            store.redis.xdel(store.category, half)
        else:
            store.redis.xtrim(store.category, minid=half, approximate=False)
        assert projector.rebuild(progress=False) == 43
        assert list(mongo[store.category].find().sort("_id")) == before
        fill(store, 6)
        assert projector.catch_up() == 6


def test_rebuild_forgets_the_batches_that_it_has_written(
    store: EventStore, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view over slices has 64 followers: one batch of each, of up to 16 MB, would be 1 GB."""
    kept = []
    plain = Rebuild.run_once

    def counting(rebuild: Rebuild) -> int:
        counted = plain(rebuild)
        kept.append(sum(len(part._taken) for part in rebuild._parts))
        return counted

    with Projector(store, mongo, AccountView(store.category), batch_size=7) as projector:
        fill(store, 40)
        projector.catch_up()
        store.trim(before=store.head())
        monkeypatch.setattr(Rebuild, "run_once", counting)
        assert projector.rebuild(progress=False) == 43
    assert len(kept) > 5
    assert max(kept) == 1


def test_trim_waits_for_a_running_rebuild(
    store: EventStore, projector: Projector, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 12)
    projector.catch_up()
    plain = Rebuild.run_once
    refused = list[Exception]()

    def trim_first(rebuild: Rebuild) -> int:
        try:
            store.trim(before=store.head())
        except TrimRefused as error:
            refused.append(error)
        return plain(rebuild)

    monkeypatch.setattr(Rebuild, "run_once", trim_first)
    projector.rebuild(progress=False)
    assert "rebuild" in str(refused[0])
    assert funds(mongo[store.category]) == 12


def test_rebuild_that_stops_leaves_the_live_view_unchanged(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 6)
    projector.catch_up()

    class Changed(AccountView):
        def apply(self, event: Recorded, changes: Changes) -> None:
            if event.version == 2:
                raise KeyError("currency")
            super().apply(event, changes)

    with (
        Projector(store, mongo, Changed(store.category)) as changed,
        pytest.raises(ViewStopped, match="currency"),
    ):
        changed.rebuild(progress=False)
    assert funds(mongo[store.category]) == 6
    assert left_over(mongo, store) == []
    fill(store, 3)
    assert projector.catch_up() == 3


def test_rebuild_fails_when_no_log_holds_an_event(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    fill(store, 6)
    projector.catch_up()
    store.redis.xtrim(store.category, maxlen=2, approximate=False)
    for id in store.ids():
        store.redis.delete(store.keys.log(id))
    with pytest.raises(Trimmed):
        projector.rebuild(progress=False)
    assert funds(mongo[store.category]) == 6


def test_only_leftovers_of_rebuilds_are_removed(
    store: EventStore, projector: Projector, mongo: Any, category: str
) -> None:
    others = [f"{category}_rebuild-notes", f"{category}-rebuild-plan", f"{category}.rebuild-backup"]
    for name in others:
        mongo[name].insert_one({"_id": 1})
    fill(store, 3)
    projector.rebuild(progress=False)
    assert [mongo[name].count_documents({}) for name in others] == [1, 1, 1]


def test_blocked_batch_is_read_from_the_aggregate_logs_again(
    store: EventStore, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Projector(store, mongo, AccountView(store.category), batch_size=7) as projector:
        fill(store, 40)
        projector.catch_up()
        store.redis.xdel(store.category, [event.position for event in store.read_all()][20])
        plain = ProjectorSession.transact
        calls = itertools.count()

        def blocked_once(session: ProjectorSession, *args: Any, **options: Any) -> bool | None:
            return None if next(calls) == 1 else plain(session, *args, **options)

        monkeypatch.setattr(ProjectorSession, "transact", blocked_once)
        projector.rebuild(progress=False)
        assert funds(mongo[store.category]) == 40


def test_rebuild_keeps_the_options_of_the_collection(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    collation = {"locale": "en", "strength": 2}
    validator = {"funds": {"$type": "number"}}
    mongo.create_collection(
        store.category,
        validator=validator,
        validationLevel="moderate",
        collation=collation,
        changeStreamPreAndPostImages={"enabled": True},
        storageEngine={"wiredTiger": {"configString": "block_compressor=zlib"}},
    )
    live = mongo[store.category]
    live.create_index("funds", name="with the collection's collation")
    live.create_index("version", name="simple", collation={"locale": "simple"})
    live.create_index([("note", "text")], name="text", collation={"locale": "simple"})
    options = live.options()
    indexes = live.index_information()
    fill(store, 3)
    projector.catch_up()
    projector.rebuild(progress=False)
    assert live.options() == options
    assert live.index_information() == indexes


def test_rebuild_keeps_a_clustered_index(
    store: EventStore, projector: Projector, mongo: Any
) -> None:
    clustered = {"key": {"_id": 1}, "unique": True, "name": "by id"}
    mongo.create_collection(store.category, clusteredIndex=clustered)
    options = mongo[store.category].options()
    fill(store, 3)
    projector.catch_up()
    projector.rebuild(progress=False)
    assert mongo[store.category].options() == options
    assert funds(mongo[store.category]) == 3


def test_batch_that_is_blocked_twice_in_the_aggregate_logs_counts_once(
    store: EventStore, mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Projector(store, mongo, AccountView(store.category), batch_size=20) as projector:
        fill(store, 40)
        projector.catch_up()
        store.redis.xtrim(store.category, maxlen=3)
        plain = ProjectorSession.transact
        calls = itertools.count()

        def blocked(session: ProjectorSession, *args: Any, **options: Any) -> bool | None:
            return None if next(calls) in (1, 2, 4, 7, 8) else plain(session, *args, **options)

        monkeypatch.setattr(ProjectorSession, "transact", blocked)
        assert projector.rebuild(progress=False) == 43
        assert funds(mongo[store.category]) == 40
