"""Formats stored events as lines that are safe to print in a terminal, whatever they contain."""

from __future__ import annotations

import json
from typing import Any

from eventlab.events import Recorded


def printable(text: str) -> str:
    """Return text with each control character replaced by its escape sequence.

    >>> printable("a\\x1b[2J\\u202eb")
    'a\\\\x1b[2J\\\\u202eb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def data_text(data: Any) -> str:
    """Return data as one line of JSON that is safe to print.

    >>> data_text({"name": "J\u00fcrgen"})
    '{"name": "J\u00fcrgen"}'
    """
    return printable(json.dumps(data, ensure_ascii=False, default=repr))


def time_text(event: Recorded) -> str:
    """Return the time at which an event was stored, in UTC.

    >>> time_text(Recorded("JohnDoe", 2, "deposit", {}, "1551312827949-0"))
    '2019-02-28 00:13:47.949'
    """
    return event.time.replace(tzinfo=None).isoformat(" ", "milliseconds")


def event_text(event: Recorded) -> str:
    """Return an event as one line, without its time.

    >>> event_text(Recorded("JohnDoe", 2, "deposit", {"amount": 5}, "1-0", {"by": "me"}))
    'JohnDoe 2 deposit {"amount": 5} meta {"by": "me"}'
    """
    meta = "" if event.meta is None else f" meta {data_text(event.meta)}"
    id = printable(event.id)
    return f"{id} {event.version} {printable(event.type)} {data_text(event.data)}{meta}"


def event_row(event: Recorded) -> dict[str, Any]:
    """Return an event as a dict for the option ``--json``.

    >>> event_row(Recorded("JohnDoe", 1, "create", {}, "1551312621884-0"))["time"]
    '2019-02-28T00:10:21.884000+00:00'
    """
    return {
        "id": event.id,
        "version": event.version,
        "type": event.type,
        "data": event.data,
        "meta": event.meta,
        "position": event.position,
        "time": event.time.isoformat(),
    }
