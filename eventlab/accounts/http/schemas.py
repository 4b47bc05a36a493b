"""The bodies: what a request may say and what an answer says, as JSON."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import HTTPException, Request

from eventlab.accounts.account import LARGEST, InvalidAmount
from eventlab.accounts.service import Balance
from eventlab.events import Data, Recorded

B = TypeVar("B", bound=msgspec.Struct)

WHOLE: Final = re.compile(rb"[1-9][0-9]{0,15}")
JSON_TYPE: Final = re.compile(r"application/(\S+\+)?json\s*(;.*)?", re.IGNORECASE)


def _like(**schema: object) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema=schema)


Id = Annotated[str, _like(minLength=1, maxLength=512, pattern="^[^/]+$", examples=["JohnDoe"])]
# As it was written: 1.0, 1e2 and -0 are numbers that a decoder would bend to whole ones.
Amount = Annotated[msgspec.Raw, _like(type="integer", minimum=1, maximum=LARGEST, examples=[100])]


class NewAccount(msgspec.Struct, frozen=True):
    """The body of ``POST /accounts``."""

    id: Id


class Money(msgspec.Struct, frozen=True):
    """The body of a deposit or a withdrawal."""

    amount: Amount


class Opened(msgspec.Struct, frozen=True):
    """An account was opened."""

    id: str


class Moved(msgspec.Struct, frozen=True):
    """Money was moved."""

    id: str
    amount: int


class StoredEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of an account; ``timestamp`` is its position."""

    version: int
    type: str
    timestamp: str
    data: Annotated[Data, msgspec.Meta(extra_json_schema={"examples": [{"amount": 100}]})]
    meta: Data | None = None


class Events(msgspec.Struct, frozen=True):
    """A page of an account's events; ``next`` goes into ``after`` for the one behind it, null when there is none."""

    id: str
    events: list[StoredEvent]
    next: int | None


class Accounts(msgspec.Struct, frozen=True):
    """A page of accounts; ``next`` goes into ``after`` for the one behind it, null when there is none."""

    accounts: list[Balance]
    next: str | None


class Health(msgspec.Struct, frozen=True):
    """It is well."""

    status: str = "ok"


class Error(msgspec.Struct, frozen=True):
    """What went wrong, naming the field."""

    message: str = msgspec.field(name="errorMessage")


class Conflict(msgspec.Struct, frozen=True):
    """What went wrong, and the version that the account is at."""

    message: str = msgspec.field(name="errorMessage")
    version: int


async def received(request: Request) -> bytes:
    """The body of a request, as it came; HTTPException 413 when it is too long, 400 when it is no JSON.

    Example: ``def deposit(body: Annotated[bytes, Depends(received)])``
    """
    limit: int = request.app.state.max_body
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise HTTPException(413, f"the body has more than {limit} bytes")
    # A web page can send all other types to any address without being asked who it is.
    if not JSON_TYPE.fullmatch(request.headers.get("content-type", "")):
        raise HTTPException(400, "Content-Type: send application/json")
    return b"".join(parts)


def parsed(body: bytes, type: type[B]) -> B:
    """A body as its struct; raises HTTPException 400.

    Example: ``parsed(b'{"id":"JohnDoe"}', NewAccount)``
    """
    try:
        return msgspec.json.decode(body, type=type)
    except (ValueError, RecursionError) as error:
        raise HTTPException(
            400, f"{type.__struct_encode_fields__[0]}: the body must be an object with it: {error}"
        ) from error


def whole(amount: msgspec.Raw) -> int:
    """An amount as a number; raises InvalidAmount.

    Example: ``whole(msgspec.Raw(b"100"))``
    """
    text = bytes(amount)
    if not WHOLE.fullmatch(text):
        raise InvalidAmount(text.decode(errors="replace"))
    return int(text)


def usable(id: str) -> str:
    """An id that a path can hold; raises HTTPException 400.

    Example: ``usable("JohnDoe")``
    """
    if "/" in id:
        raise HTTPException(400, "id: it must not hold a slash, which parts the path of an account")
    if id in (".", ".."):
        raise HTTPException(400, "id: . and .. mean other paths to most clients")
    if "\ufffd" in id:
        raise HTTPException(400, "id: it is not in UTF-8")
    return id


def stored(event: Recorded) -> StoredEvent:
    """An event as an answer shows it."""
    return StoredEvent(event.version, event.type, event.position, event.data, event.meta)


def schemas(*types: Any) -> dict[str, Any]:
    """The JSON Schemas of the bodies, by name."""
    return msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")[1]
