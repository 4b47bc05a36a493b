"""An upgrade builds the documents of a newer version of a view alongside the live ones.

An upgrade is a rebuild that all projectors of the newer version share. One projector is active; if
it is killed, another one resumes from the same position. Everything that the projectors need to
know is in the rebuild's checkpoint. The checkpoint is marked as shared once the collection and its
indexes exist.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Self

from eventlab.errors import RebuildOvertaken
from eventlab.projections.checkpoint import SHARED, Checkpoint
from eventlab.projections.following import Following
from eventlab.projections.rebuild import Rebuild, rebuilds_of
from eventlab.projections.view import CHECKPOINTS
from eventlab.store.keys import START, order


class Upgrade(Rebuild):
    """The shared rebuild of a view for a newer version of its code."""

    def __init__(self, live: Following, *, batch_size: int, name: str = "") -> None:
        super().__init__(live, batch_size=batch_size, name=name)
        self._live.swaps_only = {"version": {"$not": {"$gte": self._own.version}}}
        self._swapped = False

    @classmethod
    def of(cls, live: Following, *, batch_size: int) -> Self:
        """Return the upgrade that other projectors have begun, or a new one."""
        checkpoint = live._followers()[0]._checkpoint
        name, _ = shared_rebuild(checkpoint)
        if not name:
            with cls(live, batch_size=batch_size) as begun:
                begun._begin()
                name, _ = shared_rebuild(checkpoint)
                if name != begun.name:  # another projector was faster
                    begun.remove()
        return cls(live, batch_size=batch_size, name=name)

    def advance(self) -> int:
        """Apply the next batch, and return how many events were applied.

        After the last batch, the new documents replace the live ones. The last batch is the one
        that reaches the event that was newest when the batch began. The few newer events are
        applied during the replacement, while the older projectors wait. So the upgrade ends even if
        new events never stop arriving.

        Raises RebuildOvertaken if there is nothing left to build, because this or another projector
        has already replaced the documents, or because another rebuild has removed this upgrade.
        """
        if self._swapped:
            raise RebuildOvertaken(self._live.name)
        before = self._counted
        heads = [order(part.store.head()) for part in self._parts]
        self.run_once()
        pairs = zip(self._parts, heads, strict=True)
        if self._is_active() and all(head <= order(str(each.position)) for each, head in pairs):
            self._require_older()
            self.remove_abandoned(keep=self._newer())
            self._swapped = self._swap()
        return self._counted - before

    def remove(self) -> None:
        """Remove the upgrade, or finish it if it has already decided to replace the documents."""
        self._live.remove_rebuild(self.name)

    def _begin(self) -> None:
        self._create()
        self._hold_trims()
        self._own.share()

    def _require_older(self) -> None:
        """Raise RebuildOvertaken if the live documents are no longer of an older version."""
        stored = self._live.read().version
        if stored is not None and stored >= self._own.version:
            raise RebuildOvertaken(self._live.name)

    def _newer(self) -> list[str]:
        """Return the names of the rebuilds to keep: this one, and those of newer versions."""
        found = self.mongo[CHECKPOINTS].find({"_id": rebuilds_of(self._live.name)}, {"version": 1})
        newer = [state["_id"] for state in found if state["version"] > self._own.version]
        return [self.name, *newer]

    def _stand_by(self, stop: threading.Event, poll_interval: float) -> None:
        with contextlib.suppress(RebuildOvertaken):
            super()._stand_by(stop, poll_interval)

    def _lags(self, positions: list[str]) -> bool:  # noqa: ARG002 - a caught-up upgrade must still swap
        return True


def shared_rebuild(checkpoint: Checkpoint) -> tuple[str, list[str]]:
    """Return the name and positions of the rebuild that the projectors of this version share.

    If there is no such rebuild, the name is empty.
    """
    shared = {SHARED: {"$exists": True}, "version": checkpoint.version}
    # If two projectors began a rebuild at the same time, all projectors continue the earlier one.
    found = checkpoint.session.mongo[CHECKPOINTS].find_one(
        {"_id": rebuilds_of(checkpoint.name)} | shared, sort=[(SHARED, 1)]
    )
    if found is None:
        return "", [START] * len(checkpoint.stores)
    return found["_id"], [place["position"] for place in found.get("parts", [found])]
