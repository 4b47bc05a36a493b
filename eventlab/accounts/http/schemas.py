"""The bodies of requests and responses, as JSON."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastapi import HTTPException, Request

from eventlab.accounts.account import LARGEST, InvalidAmount
from eventlab.accounts.service import Balance
from eventlab.events import Data, Recorded

B = TypeVar("B", bound=msgspec.Struct)

WHOLE: Final = re.compile(rb"[1-9][0-9]{0,15}")
#: The largest unused body that is still read, so that the client can read the response.
MAX_DISCARDED_BYTES: Final = 16 * 1024 * 1024
BODY_SECONDS: Final = 30.0
CLOSE: Final = {"Connection": "close"}
#: Control characters, line separators, and characters that reverse the direction of text.
UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
JSON_TYPE: Final = re.compile(r"application/(\S+\+)?json\s*(;.*)?", re.IGNORECASE)


def _like(**schema: object) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema=schema)


Id = Annotated[str, _like(minLength=1, maxLength=512, pattern="^[^/]+$", examples=["JohnDoe"])]
NewId = Annotated[
    str,
    _like(
        minLength=1,
        maxLength=512,
        pattern=r"^[^/\u0000-\u001f\u007f-\u009f]+$",
        examples=["JohnDoe"],
    ),
]
# The bytes as sent, because a decoder would turn 1.0, 1e2 and -0 into integers.
Amount = Annotated[msgspec.Raw, _like(type="integer", minimum=1, maximum=LARGEST, examples=[100])]


class NewAccount(msgspec.Struct, frozen=True):
    """The body of ``POST /accounts``. Ids are compared character by character."""

    id: NewId


class Money(msgspec.Struct, frozen=True):
    """The body of a deposit or a withdrawal."""

    amount: Amount


class NewTransfer(msgspec.Struct, frozen=True):
    """The body of ``POST /transfers``."""

    from_: Id = msgspec.field(name="from")
    to: Id
    amount: Amount


class Opened(msgspec.Struct, frozen=True):
    """The account was opened."""

    id: str


class Moved(msgspec.Struct, frozen=True):
    """The deposit or withdrawal was made."""

    id: str
    amount: int


class Transferred(msgspec.Struct, frozen=True):
    """The money was transferred; the meta of each event has the ``transfer`` id."""

    from_: str = msgspec.field(name="from")
    to: str
    amount: int
    transfer: str


class StoredEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event of an account; ``timestamp`` is the position of the event."""

    version: int
    type: str
    timestamp: str
    data: Annotated[Data, msgspec.Meta(extra_json_schema={"examples": [{"amount": 100}]})]
    meta: Data | None = None


class Events(msgspec.Struct, frozen=True):
    """A page of events; `next` is the `after` of the next page, or null on the last page."""

    id: str
    events: list[StoredEvent]
    next: int | None


class Accounts(msgspec.Struct, frozen=True):
    """A page of accounts; `next` is the `after` of the next page, or null on the last page."""

    accounts: list[Balance]
    next: str | None


class Health(msgspec.Struct, frozen=True):
    """The service is healthy."""

    status: str = "ok"


class Error(msgspec.Struct, frozen=True):
    """An error message; it names the invalid field, if there is one."""

    message: str = msgspec.field(name="errorMessage")


class Conflict(msgspec.Struct, frozen=True):
    """An error message, and the current version of the account."""

    message: str = msgspec.field(name="errorMessage")
    version: int


async def received(request: Request) -> bytes:
    """Return the body of a request as it was sent.

    Raises HTTPException 413 if the body is too large, 408 if it does not arrive in time, and 400 if
    it is not declared as JSON.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(request, request.app.state.max_body)
    except TimeoutError:
        raise HTTPException(
            408, f"the body did not arrive within {BODY_SECONDS:g} seconds", CLOSE
        ) from None
    # A web page may send some other types, such as text/plain, to any URL without a preflight.
    if not JSON_TYPE.fullmatch(request.headers.get("content-type", "")):
        raise HTTPException(400, "Content-Type: must be application/json")
    return body


async def _read(request: Request, limit: int) -> bytes:
    parts = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > MAX_DISCARDED_BYTES:
            break
    if size > limit:
        raise HTTPException(413, f"the body is larger than {limit} bytes", CLOSE)
    return b"".join(parts)


def parsed(body: bytes, type: type[B]) -> B:
    """Decode a body into a struct of this type. Raises HTTPException 400 if the body is invalid.

    >>> parsed(b'{"id":"JohnDoe"}', NewAccount)
    NewAccount(id='JohnDoe')
    """
    try:
        return msgspec.json.decode(body, type=type)
    except (ValueError, RecursionError) as error:
        fields = type.__struct_encode_fields__
        field = next(
            (one for one in fields if re.search(rf"`(\$\.)?{one}`", str(error))), fields[0]
        )
        raise HTTPException(
            400, f"{field}: the body must be a JSON object with a valid field {field!r}: {error}"
        ) from error


def whole(amount: msgspec.Raw) -> int:
    """Return an amount as an integer. Raises InvalidAmount if the amount is not valid.

    >>> whole(msgspec.Raw(b"100"))
    100
    """
    text = bytes(amount)
    if not WHOLE.fullmatch(text):
        raise InvalidAmount(text.decode(errors="replace"))
    return int(text)


def usable(id: str) -> str:
    """Return an id. Raises HTTPException 400 if the id cannot be part of a path.

    >>> usable("JohnDoe")
    'JohnDoe'
    """
    if "/" in id:
        raise HTTPException(400, "id: must not contain '/', which separates the segments of a path")
    if id in (".", ".."):
        raise HTTPException(
            400, "id: must not be '.' or '..', which most clients resolve to other paths"
        )
    if "\ufffd" in id:
        raise HTTPException(400, "id: must be valid UTF-8")
    return id


def printable(id: str) -> str:
    """Return the id of a new account. Raises HTTPException 400 if the id is not printable.

    >>> printable("John Doe")
    'John Doe'
    """
    if UNPRINTABLE.search(id):
        raise HTTPException(
            400, "id: must not contain control characters, line breaks or bidirectional controls"
        )
    return id


def stored(event: Recorded) -> StoredEvent:
    """Return an event as it appears in a response."""
    return StoredEvent(event.version, event.type, event.position, event.data, event.meta)


def schemas(*types: Any) -> dict[str, Any]:
    """Return the JSON Schemas of the bodies, by name."""
    return msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")[1]
