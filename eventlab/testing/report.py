"""The message of a failed test: one sentence, and the differences line by line."""

from __future__ import annotations

import difflib
import pprint
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventlab.events import Event, Recorded


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and have the same types, so that 1, 1.0 and True differ.

    >>> same({"amount": 1}, {"amount": True})
    False
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def event_line(event: Event | Recorded) -> str:
    """Return an event as one line.

    >>> event_line(Event("deposit", {"amount": 100}))
    "deposit {'amount': 100}"
    """
    line = f"{shown_text(event.type)} {event.data!r}"
    return line if event.meta is None else f"{line} meta={event.meta!r}"


def shown_text(text: str) -> str:
    """Return a name unchanged if it is printable; otherwise, return it as a string literal.

    >>> shown_text("deposit"), shown_text("a\\x1b[2J")
    ('deposit', "'a\\\\x1b[2J'")
    """
    return text if text.isprintable() and text.strip() == text != "" else repr(text)


def document_lines(document: object) -> list[str]:
    """Return a value as lines; a longer document has one line for each field."""
    return pprint.pformat(document, width=60, sort_dicts=True).splitlines()


def difference(expected: Sequence[str], actual: Sequence[str]) -> str:
    """Return the difference between two lists of lines: ``-`` was expected, ``+`` is actual.

    >>> print(difference(["create {}", "close {}"], ["create {}"]))
      create {}
    - close {}
    """
    # Leave out the lines that only point to a character.
    compared = difflib.ndiff(list(expected), list(actual))
    return "\n".join(line for line in compared if not line.startswith("?"))


def paragraph(title: str, lines: Iterable[str]) -> str:
    """Return a title with the indented lines below it."""
    indented = [f"  {line}" for line in lines] or ["  nothing"]
    return "\n".join([f"{title}:", *indented])
