"""Get the state of each event in a consumer group, for a chart."""

from __future__ import annotations

from collections.abc import Iterable

from eventlab.events import Recorded
from eventlab.store.keys import order
from eventlab.store.store import EventStore


def delivery_states(
    moment: str, store: EventStore, group: str, events: Iterable[Recorded]
) -> list[dict[str, str | int]]:
    """Return a row per event for ``charts.pending``, with the event's state and delivery count.

    ``moment`` labels the rows. The state is ``new``, ``done``, or the name of the consumer that has
    the event pending. The store's Redis client must decode responses, as the client from
    ``connect()`` does.
    """
    [found] = [g for g in store.redis.xinfo_groups(store.category) if g["name"] == group]
    pending = store.redis.xpending_range(store.category, group, "-", "+", 1000)
    held = {row["message_id"]: (row["consumer"], row["times_delivered"]) for row in pending}
    rows: list[dict[str, str | int]] = []
    for event in events:
        is_new = order(event.position) > order(found["last-delivered-id"])
        state, deliveries = held.get(event.position, ("new" if is_new else "done", 0))
        label = f"{event.id} {event.version}"
        rows.append({"moment": moment, "event": label, "state": state, "deliveries": deliveries})
    return rows
