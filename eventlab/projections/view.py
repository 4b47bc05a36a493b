"""Views (read models), which define how events change the documents of a collection."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final, Protocol

from eventlab.errors import InvalidArgument, InvalidName
from eventlab.events import Recorded
from eventlab.store.keys import checked_name

CHECKPOINTS: Final = "projections"  # the collection: one document per view
FIRST_VERSION: Final = 1  # of a view that sets no version
PROJECTORS: Final = "projectors"  # the collection: one document per running projector
MAX_NAMESPACE_BYTES: Final = 255  # MongoDB's limit, for "database.collection"
REBUILD_NAME: Final = r"\.rebuild-[0-9a-f]{8}$"
NO_VIEW_NAME: Final = re.compile(
    rf"{CHECKPOINTS}$|{PROJECTORS}$|system\.|\.|.*(\$|\0|\.\.|\.$|{REBUILD_NAME})", re.DOTALL
)


class Change:
    """The change that a batch of events makes to one document, folded into one MongoDB update."""

    __slots__ = ("_fields", "deletes")

    def __init__(self) -> None:
        # By field: the operator, its operand (for a push, the slice), and the values to push.
        self._fields: dict[str, list[Any]] = {}
        self.deletes = False  # whether the stored document is deleted first

    def inc(self, field: str, by: int) -> None:
        """Add ``by`` to a numeric field. A missing field counts as 0."""
        by = 0 + by  # raises TypeError before the change exists
        self._change(field, "$inc", 0)[1] += by

    def set(self, field: str, value: Any) -> None:
        """Set a field to a value."""
        self._change(field, "$set")[1] = value

    def unset(self, field: str) -> None:
        """Remove a field if the document has it. An object that becomes empty is kept."""
        self._change(field, "$set")[:] = "$unset", ""

    def push(self, field: str, value: Any, *, keep: int) -> None:
        """Append a value to a list, and keep only the newest ``keep`` values."""
        self._change(field, "$push", -keep).append(value)

    def delete(self) -> None:
        """Delete the document if it exists. Later changes create a new document."""
        self._fields.clear()
        self.deletes = True

    def update(self) -> dict[str, Any]:
        """Return the MongoDB update; if the document is also deleted, the deletion comes first."""
        update: dict[str, dict[str, Any]] = {}
        for field, change in self._fields.items():
            operator, operand = change[:2]
            if operator == "$push":
                operand = {"$each": change[2:][operand:], "$slice": operand}
            update.setdefault(operator, {})[field] = operand
        return update

    def _change(self, field: str, operator: str, first: Any = None) -> list[Any]:
        change = self._fields.get(field)
        if change is None:
            change = self._fields[field] = [operator, first]
        elif change[0] != operator:
            if (change[0], operator) != ("$unset", "$set"):
                raise ValueError(
                    f"field {field!r} is changed in two ways, but MongoDB accepts only one of inc, "
                    "set (or unset) and push per update: use the same one for every event"
                )
            change[0] = operator
        return change


class Changes(defaultdict[Any, Change]):
    """The changes that a batch makes: a Change for each document, by its ``_id``."""

    def __init__(self) -> None:
        super().__init__(Change)


class View(Protocol):
    """A view defines how events change the documents of one MongoDB collection.

    ``name`` is the name of the collection. ``apply`` depends only on the events, makes every change
    through ``changes``, and has no other effect, so a test needs no server. If ``apply`` raises an
    error, the view stops at that event and stores none of the event's changes.

    A view may have a ``version``, an integer (default: 1). Increase ``version`` when the shape of
    the documents changes. A projector that finds documents of a lower version builds new documents
    alongside the old ones. When the new documents have caught up, they replace the old ones. Until
    then, readers see the old documents, and projectors of the lower version keep updating them.
    After that, these projectors stop with ViewVersionMismatch.

    A view with ``per_aggregate = True`` promises that each document is changed only by the events
    of one aggregate. ``Projector.rebuild_one`` needs this promise.
    """

    name: str

    def apply(self, event: Recorded, changes: Changes) -> None:
        """Apply one event by recording its changes in ``changes``."""
        ...


class Named(Protocol):
    """A view of one or more categories; ``name`` is the name of its collection."""

    name: str


def checked_view_name(view: Named, database: str) -> str:
    """Return the name of a view. Raises InvalidName if a collection cannot have it."""
    name: str = getattr(view, "name", "")  # a view without type annotations may lack a name
    size = len(checked_name(name, "view name"))
    most = MAX_NAMESPACE_BYTES - len(f"{database}..rebuild-01234567".encode())
    if size > most or NO_VIEW_NAME.match(name):
        raise InvalidName(
            f"view {name[:20]!r} has a name that no collection can have: use up to {most} bytes, no"
            f" '$', NUL or '..', no dot at either end, and no reserved name ({CHECKPOINTS}, "
            f"{PROJECTORS}, system.…, or that of a rebuild)"
        )
    return name


def version_of(view: Named) -> int:
    """Return the version of a view's code. Raises InvalidArgument unless it is an integer."""
    version = getattr(view, "version", FIRST_VERSION)
    if type(version) is not int:
        raise InvalidArgument(f"version {version!r} of view {view.name!r} must be an integer")
    return version
