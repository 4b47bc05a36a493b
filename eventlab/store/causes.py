"""Records which request and which earlier event caused an event, in the ``meta`` of the event."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from eventlab.events import CAUSE, Recorded


def identity(category: str, event: Recorded) -> str:
    """Return the ``causation_id`` that identifies an event by its category, id and version.

    >>> identity("accountStream", Recorded("JohnDoe", 2, "deposit", {}, "1-0"))
    'accountStream/JohnDoe/2'
    """
    return f"{category}/{event.id}/{event.version}"


@contextlib.contextmanager
def caused_by(event: Recorded, category: str) -> Iterator[None]:
    """Record, in the meta of all events appended in this block, that ``event`` caused them.

    ``causation_id`` identifies ``event``. ``correlation_id`` and ``traceparent`` are copied from
    the meta of ``event``. If ``event`` has no ``correlation_id``, the value of ``causation_id`` is
    used instead. An appended event's own meta takes precedence. The block affects only the current
    thread.

    >>> with caused_by(deposit, store.category):
    ...     letters.append("letter-1", [Event("sent")], expected=NEW)[0].meta
    {'correlation_id': 'accountStream/JohnDoe/2', 'causation_id': 'accountStream/JohnDoe/2'}
    """
    name = identity(category, event)
    meta = event.meta or {}
    cause = {"correlation_id": meta.get("correlation_id", name), "causation_id": name}
    if "traceparent" in meta:
        cause["traceparent"] = meta["traceparent"]
    token = CAUSE.set(cause)
    try:
        yield
    finally:
        CAUSE.reset(token)
