"""The list of accounts, which is read from the view, sorted and split into pages."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, Literal

import bson
import msgspec
from fastapi import HTTPException
from pymongo.collection import Collection

from eventlab.accounts.http.schemas import Accounts
from eventlab.accounts.service import Balance

Documents = Collection[dict[str, Any]]
Sort = Literal["id", "-id", "funds", "-funds"]
SHOWN: Final = {"funds": 1, "version": 1, "timestamps": {"$slice": -1}}


class PageStart(msgspec.Struct, array_like=True, frozen=True):
    """The last account of a page, after which the next page begins."""

    sort: Sort
    id: str
    funds: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # MongoDB's range


def page(view: Documents, *, sort: Sort, after: str | None, limit: int) -> Accounts:
    """Return a page of the view.

    When sorted by funds, an account whose funds change between two pages may appear twice or not at
    all; when sorted by id, each account appears once. Raises HTTPException 400 if ``after`` is not
    the ``next`` of a page with the same ``sort``.
    """
    direction = -1 if sort.startswith("-") else 1
    fields = ["funds", "_id"] if sort.endswith("funds") else ["_id"]
    found = view.find(
        {} if after is None else _behind(_start(after, sort), fields, direction), SHOWN
    )
    documents = list(found.sort([(field, direction) for field in fields]).limit(limit + 1))
    accounts = [
        Balance(one["_id"], whole(one["version"]), one["timestamps"][-1], whole(one["funds"]))
        for one in documents[:limit]
    ]
    more = len(documents) > limit
    return Accounts(
        accounts, _text(PageStart(sort, accounts[-1].id, accounts[-1].funds)) if more else None
    )


def whole(number: Any) -> int:
    """Return a number from MongoDB as an int; after ``$inc``, MongoDB may return another type.

    >>> whole(bson.Int64(2**31))
    2147483648
    """
    if isinstance(number, bson.Decimal128):
        return int(number.to_decimal())
    return int(number)  # bson.Int64 is a subclass of int that msgspec does not encode


def _behind(start: PageStart, fields: list[str], direction: int) -> dict[str, Any]:
    beyond = "$gt" if direction == 1 else "$lt"
    by_id = {"_id": {beyond: start.id}}
    if fields == ["_id"]:
        return by_id
    return {"$or": [{"funds": {beyond: start.funds}}, {"funds": start.funds, **by_id}]}


def _text(start: PageStart) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(start)).decode().rstrip("=")


def _start(text: str, sort: Sort) -> PageStart:
    try:
        start = msgspec.json.decode(base64.b64decode(text + "==", b"-_"), type=PageStart)
    except ValueError as error:
        raise HTTPException(400, "after: must be the `next` value of the previous page") from error
    if start.sort != sort:
        raise HTTPException(400, f"after: belongs to a page sorted by {start.sort}, not by {sort}")
    return start
