"""A checkpoint guards its position, its fence and its swap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from eventlab import EventStore, RebuildOvertaken
from eventlab.projections import checkpoint as module
from eventlab.projections.checkpoint import Checkpoint, CheckpointState, RebuildCheckpoint
from eventlab.projections.session import ProjectorSession
from tests.projections.support import fill, left_over


@pytest.fixture
def session(mongo: Any, category: str, documents: Any) -> Iterator[ProjectorSession]:
    session = ProjectorSession(mongo, category)
    yield session
    session.close()


@pytest.fixture
def live(store: EventStore, mongo: Any, session: ProjectorSession) -> Checkpoint:
    """The checkpoint of a view that has applied nothing."""
    checkpoint = Checkpoint(store, session, store.category)
    checkpoint.read()
    return checkpoint


@pytest.fixture
def rebuild(store: EventStore, mongo: Any, session: ProjectorSession) -> RebuildCheckpoint:
    """The checkpoint of a rebuild of the view, with one document."""
    name = f"{store.category}.rebuild-00000001"
    checkpoint = RebuildCheckpoint(store, session, name)
    checkpoint.create()
    session.transact(lambda client: checkpoint.move(client, "0-0", "7-0"), obstacle="test")
    mongo[name].insert_one({"_id": "rebuilt"})
    return checkpoint


def counted(checkpoint: Checkpoint) -> CheckpointState:
    """Return the checkpoint without what the category and the view's code add to it."""
    return msgspec.structs.replace(checkpoint.read(), event=None, category=None, version=None)


def move(session: ProjectorSession, live: Checkpoint, old: str, new: str) -> bool | None:
    return session.transact(lambda client: live.move(client, old, new), obstacle="test")


def test_move_requires_the_old_position(session: ProjectorSession, live: Checkpoint) -> None:
    assert move(session, live, "0-0", "1-0")
    assert not move(session, live, "0-0", "2-0")
    assert counted(live) == CheckpointState("1-0")


def test_move_is_rejected_while_fenced(
    session: ProjectorSession, live: Checkpoint, rebuild: RebuildCheckpoint
) -> None:
    live.fence(rebuild.name)
    assert not move(session, live, "0-0", "1-0")
    assert counted(live) == CheckpointState("0-0", fence=rebuild.name)


def test_move_belongs_to_the_callers_transaction(
    session: ProjectorSession, live: Checkpoint
) -> None:
    client = session.get()
    client.start_transaction()
    assert live.move(client, "0-0", "1-0")
    client.abort_transaction()
    assert counted(live) == CheckpointState("0-0")


def test_fence_finishes_the_decided_swap_of_another_rebuild_first(
    mongo: Any, documents: Any, live: Checkpoint, rebuild: RebuildCheckpoint
) -> None:
    live.fence(rebuild.name)
    assert live.decide_swap(rebuild.name)
    live.fence("a later rebuild")
    assert [document["_id"] for document in documents.find()] == ["rebuilt"]
    assert counted(live) == CheckpointState("7-0", fence="a later rebuild")


def test_fence_waits_until_the_fence_of_a_dead_rebuild_is_broken(
    live: Checkpoint, rebuild: RebuildCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FENCE_SECONDS", 0.0)
    live.fence("a dead rebuild")
    live.fence(rebuild.name)
    assert live.read().fence == rebuild.name


def test_fence_is_not_broken_once_a_swap_is_decided(
    mongo: Any,
    session: ProjectorSession,
    live: Checkpoint,
    rebuild: RebuildCheckpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FENCE_SECONDS", 0.0)
    live.fence(rebuild.name)
    assert live.read_unfenced() is None  # the time starts

    def decide_first() -> None:  # between reading the checkpoint and breaking the fence
        assert live.decide_swap(rebuild.name)

    monkeypatch.setattr(session, "end_others", decide_first)
    assert live.read_unfenced() is None
    assert counted(live) == CheckpointState(
        "0-0",
        fence=rebuild.name,
        swap={
            "position": "7-0",
            "event": None,
            "category": live.store.category,
            "version": 1,
        },
    )


def test_swap_is_decided_only_while_fenced(live: Checkpoint, rebuild: RebuildCheckpoint) -> None:
    assert not live.decide_swap(rebuild.name)
    assert counted(live) == CheckpointState("0-0")
    assert counted(rebuild) == CheckpointState("7-0")  # it can try again


def test_swap_is_not_decided_for_a_removed_rebuild(
    live: Checkpoint, rebuild: RebuildCheckpoint
) -> None:
    live.fence(rebuild.name)
    rebuild.delete()
    with pytest.raises(RebuildOvertaken):
        live.decide_swap(rebuild.name)
    assert counted(live) == CheckpointState("0-0", fence=rebuild.name)


def test_decided_swap_is_finished_by_the_next_projector(
    store: EventStore,
    mongo: Any,
    documents: Any,
    session: ProjectorSession,
    live: Checkpoint,
    rebuild: RebuildCheckpoint,
) -> None:
    fill(store, 3)
    rebuild.hold_trims()
    documents.insert_one({"_id": "old"})
    live.fence(rebuild.name)
    head = store.head()
    session.transact(lambda client: rebuild.move(client, "7-0", head), obstacle="test")
    assert live.decide_swap(rebuild.name)
    assert live.read_unfenced() is None
    assert counted(live) == CheckpointState(store.head())
    assert [document["_id"] for document in documents.find()] == ["rebuilt"]
    assert left_over(mongo, store) == []
    [group] = store.redis.xinfo_groups(store.category)
    assert group["last-delivered-id"].decode() == store.head()


def test_finish_swap_may_run_twice(
    documents: Any, live: Checkpoint, rebuild: RebuildCheckpoint
) -> None:
    live.fence(rebuild.name)
    swap = live.decide_swap(rebuild.name)
    assert swap is not None
    for _ in range(2):
        live.finish_swap(rebuild.name, swap)
    assert counted(live) == CheckpointState("7-0")
    assert [document["_id"] for document in documents.find()] == ["rebuilt"]


def test_removed_rebuild_leaves_no_fence(
    mongo: Any, store: EventStore, live: Checkpoint, rebuild: RebuildCheckpoint
) -> None:
    fill(store, 1)
    rebuild.hold_trims()
    live.fence(rebuild.name)
    live.remove_rebuild(rebuild.name)
    assert counted(live) == CheckpointState("0-0")
    assert left_over(mongo, store) == []
    with pytest.raises(RebuildOvertaken):
        rebuild.read()


def test_remove_rebuild_finishes_a_decided_swap(
    documents: Any, live: Checkpoint, rebuild: RebuildCheckpoint
) -> None:
    live.fence(rebuild.name)
    assert live.decide_swap(rebuild.name)
    live.remove_rebuild(rebuild.name)
    assert counted(live) == CheckpointState("7-0")
    assert [document["_id"] for document in documents.find()] == ["rebuilt"]


def test_removed_rebuild_does_not_create_its_group_again(
    mongo: Any, store: EventStore, rebuild: RebuildCheckpoint, live: Checkpoint
) -> None:
    fill(store, 1)
    rebuild.hold_trims()
    live.remove_rebuild(rebuild.name)
    rebuild.show(store.head())
    assert left_over(mongo, store) == []
