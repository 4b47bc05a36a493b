"""The listing: the accounts of the view, sorted, page by page."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import HTTPException
from pymongo.collection import Collection

from eventlab.accounts.http.schemas import Accounts
from eventlab.accounts.service import Balance

Documents = Collection[dict[str, Any]]
Sort = Literal["id", "-id", "funds", "-funds"]
SHOWN: Final = {"funds": 1, "version": 1, "timestamps": {"$slice": -1}}


class Place(msgspec.Struct, array_like=True, frozen=True):
    """The last account of a page, by what it is sorted by; where the next page begins."""

    sort: Sort
    id: str
    funds: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # what MongoDB takes


def page(view: Documents, *, sort: Sort, after: str | None, limit: int) -> Accounts:
    """A page of the view; raises HTTPException 400 when ``after`` is not the ``next`` of a page of the same sort.

    An account whose funds change between two pages of ``funds`` may be seen twice, or not; by ``id`` each is seen once.

    Example: ``page(lab.mongo.accountCollection, sort="-funds", after=None, limit=10)``
    """
    direction = -1 if sort.startswith("-") else 1
    fields = ["funds", "_id"] if sort.endswith("funds") else ["_id"]
    found = view.find(
        {} if after is None else _behind(_place(after, sort), fields, direction), SHOWN
    )
    documents = list(found.sort([(field, direction) for field in fields]).limit(limit + 1))
    accounts = [
        Balance(one["_id"], one["version"], one["timestamps"][-1], one["funds"])
        for one in documents[:limit]
    ]
    more = len(documents) > limit
    return Accounts(
        accounts, _text(Place(sort, accounts[-1].id, accounts[-1].funds)) if more else None
    )


def _behind(place: Place, fields: list[str], direction: int) -> dict[str, Any]:
    beyond = "$gt" if direction == 1 else "$lt"
    by_id = {"_id": {beyond: place.id}}
    if fields == ["_id"]:
        return by_id
    return {"$or": [{"funds": {beyond: place.funds}}, {"funds": place.funds, **by_id}]}


def _text(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(text: str, sort: Sort) -> Place:
    try:
        place = msgspec.json.decode(base64.b64decode(text + "==", b"-_"), type=Place)
    except ValueError as error:
        raise HTTPException(400, "after: give the `next` of the page before") from error
    if place.sort != sort:
        raise HTTPException(
            400, f"after: it belongs to pages sorted by {place.sort}, not by {sort}"
        )
    return place
