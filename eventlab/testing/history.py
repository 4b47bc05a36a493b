"""The history of a test: its given events, as a store would have recorded them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from eventlab.errors import InvalidArgument
from eventlab.events import Event, Recorded, encode_batch
from eventlab.store.keys import order

#: The id of an aggregate if its test does not choose one.
EXAMPLE: Final = "example"


def extended(
    history: Sequence[Recorded],
    events: Sequence[Event | Recorded],
    id: str,
    at: datetime | None = None,
) -> list[Recorded]:
    """Return a history with further events of one aggregate, at positions 1-0, 2-0 and so on.

    If ``at`` is given, the events are stored at that time. A Recorded is copied and keeps its own
    id, version and position. Raises InvalidEvent for an event that no store accepts, and
    InvalidArgument for events that are out of order.

    >>> extended([], [Event("create"), Event("close")], "JohnDoe")[1]
    Recorded(id='JohnDoe', version=2, type='close', data={}, position='2-0')
    """
    if at is not None and at.tzinfo is None:
        raise InvalidArgument(
            f"at={at!r} has no time zone: add one, as in datetime(..., tzinfo=UTC)"
        )
    result = list(history)
    versions = {event.id: event.version for event in history}
    for event in events:
        if isinstance(event, Recorded):
            recorded = copy.deepcopy(event)
        else:
            [checked] = encode_batch([event]).events
            version = versions.get(id, 0) + 1
            position = _next_position(result, at)
            recorded = Recorded(id, version, checked.type, checked.data, position, checked.meta)
        _check_order(recorded, versions.get(recorded.id, 0), result)
        versions[recorded.id] = recorded.version
        result.append(recorded)
    return result


def _next_position(history: Sequence[Recorded], at: datetime | None) -> str:
    last = history[-1].position if history else "0-0"
    milliseconds, sequence = map(int, last.split("-"))
    if at is None:
        return f"{milliseconds + 1}-0"
    wanted = round(at.timestamp() * 1000)
    return f"{wanted}-{sequence + 1 if wanted == milliseconds else 0}"


def _check_order(event: Recorded, version: int, history: Sequence[Recorded]) -> None:
    if event.version != version + 1:
        raise InvalidArgument(
            f"version {event.version} of {event.id!r} follows version {version}: "
            "give the events of an aggregate in order, without gaps"
        )
    if history and order(event.position) <= order(history[-1].position):
        raise InvalidArgument(
            f"an event at {event.position} follows one at {history[-1].position}: "
            "give the events in commit order"
        )
