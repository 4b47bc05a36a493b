"""The identity of the event at a checkpoint. A position alone does not identify a log.

A log that is dropped and written again within one millisecond has the same positions. After a
failover that lost the latest events, the new master may use a position again. Each append stores a
random token in the aggregate log, and the tokens distinguish the two events.
"""

from __future__ import annotations

import msgspec

from eventlab.events import Recorded, decode_rows
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore


class Identity(msgspec.Struct, frozen=True):
    """The event at a position. An adopted event has the token ``""``."""

    position: str
    id: str
    version: int
    token: str


def identify(
    store: EventStore, position: str, known: Identity | None, event: Recorded | None
) -> tuple[bool, bool, Identity | None]:
    """Look up two events in one round trip: the ``known`` event at ``position``, and ``event``.

    Returns whether the stream has an entry at ``position``, whether the aggregate log still holds
    the ``known`` event, and the identity of ``event`` (None if no aggregate log holds ``event``).
    """
    with store.redis.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("XRANGE", store.keys.stream, position, position, **RAW)
        for each in (known, event):
            if each is not None:
                at = each.version - 1
                pipeline.execute_command("LRANGE", store.keys.log(each.id), at, at, **RAW)
        entries, *found = pipeline.execute()
    held = known is None or _holds(found.pop(0), known)
    if event is None or not found[0]:
        return bool(entries), held, None
    [row] = decode_rows(found[0], f"{event.id!r} version {event.version}")
    same = row.position == event.position
    identity = Identity(row.position, event.id, event.version, row.token) if same else None
    return bool(entries), held, identity


def _holds(elements: list[bytes], known: Identity) -> bool:
    if not elements:
        return False
    [row] = decode_rows(elements, f"{known.id!r} version {known.version}")
    # Adoption rebuilds the logs from the stream, which has no tokens.
    return row.position == known.position and row.token in ("", known.token)
