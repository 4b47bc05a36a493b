"""Applies the updates of a view as MongoDB does, for the operators that a Change uses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]


class UpdateRefused(ValueError):
    """MongoDB would reject the update."""


def updated(document: Fields, update: Fields) -> Fields:
    """Return a document after an update with ``$inc``, ``$set``, ``$push`` or ``$unset``.

    >>> updated({"_id": "a", "funds": 70}, {"$inc": {"funds": 30}, "$set": {"name.last": "D"}})
    {'_id': 'a', 'funds': 100, 'name': {'last': 'D'}}
    """
    _check_apart([path for fields in update.values() for path in fields])
    result = copy.deepcopy(document)
    for operator, fields in update.items():
        apply = OPERATORS.get(operator)
        if apply is None:
            raise UpdateRefused(
                f"the test kit does not support {operator}: test the view on MongoDB"
            )
        for path, value in fields.items():
            *parents, name = path.split(".")
            if "" in (*parents, name):
                raise UpdateRefused(f"MongoDB does not accept an empty field name in {path!r}")
            holder = _holder(result, parents, is_made=operator != "$unset")
            if holder is not None:
                apply(holder, name, copy.deepcopy(value))
    return result


def _check_apart(paths: list[str]) -> None:
    """Raise UpdateRefused if two paths are the same, or if one of them is inside the other."""
    for path in paths:
        names = path.split(".")
        above = {".".join(names[:count]) for count in range(1, len(names))}
        both = [path] * (paths.count(path) > 1) + [each for each in paths if each in above]
        if both:
            raise UpdateRefused(
                f"MongoDB cannot update {path!r} and {both[0]!r} together: "
                "let an event change only one of them"
            )


def _holder(document: Fields, parents: list[str], *, is_made: bool) -> Fields | None:
    """Return the nested document that holds the field, or None if there is none to change."""
    holder = document
    for parent in parents:
        inner = holder.setdefault(parent, {}) if is_made else holder.get(parent)
        if not isinstance(inner, dict):
            if is_made:
                raise UpdateRefused(f"{parent!r} is not a document, so it cannot contain a field")
            return None
        holder = inner
    return holder


def _inc(holder: Fields, name: str, by: Any) -> None:
    number = holder.get(name, 0)
    if not _is_number(number) or not _is_number(by):
        raise UpdateRefused(f"$inc of {name!r} needs numbers: {number!r} + {by!r}")
    holder[name] = number + by


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _push(holder: Fields, name: str, value: Any) -> None:
    values = holder.setdefault(name, [])
    if not isinstance(values, list):
        raise UpdateRefused(f"$push to {name!r} needs a list, not {values!r}")
    values += value["$each"]
    if "$slice" in value:
        keep = value["$slice"]
        holder[name] = values[keep:] if keep < 0 else values[:keep]


def _set(holder: Fields, name: str, value: Any) -> None:
    holder[name] = value


def _unset(holder: Fields, name: str, value: Any) -> None:  # noqa: ARG001 - MongoDB ignores it too
    holder.pop(name, None)


OPERATORS: dict[str, Callable[[Fields, str, Any], None]] = {
    "$inc": _inc,
    "$set": _set,
    "$push": _push,
    "$unset": _unset,
}
