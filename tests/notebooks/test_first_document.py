"""On page 06, two consumers that insert the first document of an account at once lose nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from eventlab import Recorded

PAGE = Path(__file__).parents[2] / "notebooks" / "06_projections.ipynb"


def attempt(name: str) -> Any:
    """Return the function of an attempt, as the page defines it."""
    cells = nbformat.read(PAGE, 4).cells
    [source] = [cell.source for cell in cells if f"\ndef {name}(" in f"\n{cell.source}"]
    scope: dict[str, Any] = {}
    exec("from pymongo.errors import DuplicateKeyError\n" + source, scope)
    return scope[name]


class Slower:
    """A collection where, between an upsert's search and its insert, another consumer inserts.

    MongoDB does the two as two steps for a filter with more than equal values.
    """

    def __init__(self, documents: Any, other: Any) -> None:
        self._documents = documents
        self._other = other

    def update_one(self, filter: Any, change: Any, *, upsert: bool = False) -> Any:
        if upsert and self._documents.find_one(filter) is None:
            self._other()
            return self._documents.insert_one({"_id": filter["_id"]})
        return self._documents.update_one(filter, change)


@pytest.mark.parametrize("name", ["listed", "newer"])
def test_attempt_counts_an_event_when_another_consumer_inserted_first(
    name: str, lab: Any, category: str
) -> None:
    documents = lab.mongo[category]
    write = attempt(name)
    first, second = [
        Recorded("ann", version, "deposit", {"amount": 100 * version}, f"{version}-0")
        for version in (1, 2)
    ]
    slower = Slower(documents, lambda: write(documents, first))
    write(slower, second)
    assert documents.find_one({"_id": "ann"})["funds"] == 300
    write(slower, second)
    assert documents.find_one({"_id": "ann"})["funds"] == 300
