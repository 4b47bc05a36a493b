"""A rebuild builds new documents alongside the live ones, then replaces the live ones.

The new documents are complete even after a trim, because a rebuild reads trimmed events from the
aggregate logs. The checkpoint performs the replacement, which the code calls a swap (see
checkpoint.py).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from typing import Any

from eventlab.projections.building import Building
from eventlab.projections.checkpoint import Checkpoint, RebuildCheckpoint
from eventlab.projections.following import Following
from eventlab.projections.session import ProjectorSession
from eventlab.projections.several import Several
from eventlab.projections.view import CHECKPOINTS, REBUILD_NAME
from eventlab.store.keys import START


class Rebuild(Several[Building]):
    """Replaces the documents of a view with new ones, built by one ``Building`` per stream."""

    def __init__(self, live: Following, *, batch_size: int, name: str = "") -> None:
        followers = live._followers()
        now = followers[0]._checkpoint
        session = ProjectorSession(now.session.mongo, now.name)
        name = name or f"{now.name}.rebuild-{secrets.token_hex(4)}"
        self._live = Checkpoint(now.store, session, now.name, now.version, now.joined)
        parts = []
        for each in followers:
            own = RebuildCheckpoint(each.store, session, name, now.version, now.joined)
            parts.append(Building(own, each.view, batch_size))
        super().__init__(parts)
        self._own = self._parts[0].own
        self.mongo = session.mongo
        self._counted = 0
        self._bar: Any = None

    def build(self, *, progress: bool) -> int:
        """Build the documents, replace the live ones, and return how many events were applied."""
        from tqdm.auto import tqdm  # the import checks whether the program runs in a notebook

        self._live.read()  # raises CategoryMismatch
        self.remove_abandoned()
        self._create()
        try:
            self._hold_trims()
            total = sum(part.store.redis.xlen(part.store.keys.stream) for part in self._parts)
            bar = tqdm(total=total, desc=self._live.name, unit=" events", disable=not progress)
            with bar as self._bar:
                self.catch_up()
                while not self._swap():
                    pass  # the fence was broken, and the live projectors continued
        finally:
            self._live.remove_rebuild(self.name)
        return self._counted

    def run_once(self) -> int:
        """Apply the next batch, move the progress bar, and return how many events were applied."""
        more = super().run_once()
        self._counted += more
        if self._bar is not None:
            self._bar.update(more)
        return more

    def _hold_trims(self) -> None:
        for part in self._parts:
            if part.store.head() != START:
                part.own.hold_trims()

    def _swap(self) -> bool:
        """Stop the live projectors, catch up, and replace the live documents.

        Returns False if the documents could not be replaced.
        """
        self._live.fence(self.name)
        self.catch_up()
        swap = self._live.decide_swap(self.name)
        if swap is None:
            return False
        self._live.finish_swap(self.name, swap)
        return True

    def remove_abandoned(self, keep: Collection[str] = ()) -> None:
        """Remove the other rebuilds of the view, which were probably killed.

        If such a rebuild is still running, it fails with RebuildOvertaken.
        """
        pattern = rebuilds_of(self._live.name)
        names = set(self.mongo[CHECKPOINTS].distinct("_id", {"_id": pattern}))
        names.update(self.mongo.list_collection_names(filter={"name": pattern}))
        for name in names.difference(keep):
            # Otherwise, a dead rebuild's transaction could lock its checkpoint for a minute.
            self._session.end_others()
            self._live.remove_rebuild(name)

    def _create(self) -> None:
        """Create the checkpoint, and a collection with the options and indexes of the live one."""
        # The checkpoint is created first, because a rebuild that is removed while it creates the
        # rest must not continue. The checkpoint is also removed first. If a removal is killed, the
        # next one finds the rest by the name of the collection.
        self._own.create()
        live = self.mongo[self._live.name]
        kept = live.options()
        self.mongo.create_collection(self.name, **kept)
        for name, index in live.index_information().items():
            if name == "_id_" or index.get("clustered"):
                continue
            names = sorted(index.keys() - {"key", "v", "ns"})
            options = {option: index[option] for option in names}
            if "collation" in kept:  # otherwise, the index would inherit the collection's
                options.setdefault("collation", {"locale": "simple"})
            self.mongo[self.name].create_index(index["key"], name=name, **options)


def rebuilds_of(view: str) -> dict[str, str]:
    """Return the MongoDB condition for the names of the rebuilds of a view."""
    return {"$regex": f"^{re.escape(view)}{REBUILD_NAME}"}
