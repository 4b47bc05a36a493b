"""Causes: the request and the event that caused an event, stored in its ``meta``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from eventlab.events import CAUSE, Recorded


def identity(category: str, event: Recorded) -> str:
    """Return the name of an event for ``causation_id``: its category, id and version.

    >>> identity("accountStream", Recorded("JohnDoe", 2, "deposit", {}, "1-0"))
    'accountStream/JohnDoe/2'
    """
    return f"{category}/{event.id}/{event.version}"


@contextlib.contextmanager
def caused_by(event: Recorded, category: str) -> Iterator[None]:
    """Record, in the ``meta`` of the events that are appended in this block, what caused them.

    ``causation_id`` names ``event``. ``correlation_id`` and ``traceparent`` are copied from the
    meta of ``event``; if it has no ``correlation_id``, its own name is used. Meta that is passed to
    an append takes precedence. The block affects this thread only.

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
