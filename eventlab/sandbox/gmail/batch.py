"""Serve batches: each request in a multipart body is served like a single request."""

from __future__ import annotations

import asyncio
import http
import secrets
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from eventlab.sandbox.faults import App, Fault, Faults
from eventlab.sandbox.gmail.error import GoogleError, error_body

MAX_BATCH_PARTS: Final = 100


@dataclass(frozen=True)
class Part:
    """One request of a batch."""

    content_id: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class PartResponse:
    """The app's response to one request of a batch."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def add_batch(app: FastAPI, faults: Faults, check: Callable[[Request], None]) -> None:
    """Add the batch routes to an app; ``faults`` apply to each part of a batch.

    ``check`` must raise an error to reject a batch as a whole.
    """

    async def batch(request: Request) -> Response:
        """Serve a batch."""
        check(request)
        parts = read_parts(request.headers.get("content-type", ""), await request.body())
        outer = request.headers.get("authorization")
        # reversed, because the responses may be in a different order than the requests
        responses = [(part, await _served(app, faults, part, outer)) for part in reversed(parts)]
        boundary = f"batch_{secrets.token_urlsafe(16)}"
        body = b"".join(_written(boundary, part, response) for part, response in responses)
        return Response(
            body + f"--{boundary}--\r\n".encode(),
            media_type=f"multipart/mixed; boundary={boundary}",
        )

    app.post("/batch", response_class=Response)(batch)
    app.post("/batch/gmail/v1", response_class=Response)(batch)


def read_parts(content_type: str, body: bytes) -> list[Part]:
    """Parse the parts of a batch with LF or CRLF line endings.

    Raises ``GoogleError`` 400 if the body is not a batch, and 429 if it has over 100 parts.

    >>> read_parts("multipart/mixed; boundary=x", b"--x--")
    []
    """
    whole = message_from_bytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=policy.compat32
    )
    if whole.get_content_maintype() != "multipart":
        raise GoogleError(
            400,
            message="Failed to parse batch request, error: 0 items. Received batch body: (0) bytes",
        )
    found = whole.get_payload()
    parts = (
        [_read(part) for part in found if isinstance(part, Message)]
        if isinstance(found, list)
        else []
    )
    if len(parts) > MAX_BATCH_PARTS:
        raise GoogleError(
            429, message=f"The batch request has {len(parts)} calls: the limit is {MAX_BATCH_PARTS}"
        )
    return parts


def _read(part: Message) -> Part:
    text = part.get_payload(decode=False)
    line, _, rest = (text if isinstance(text, str) else "").partition("\n")
    words = line.split()
    content_id = str(part["Content-ID"] or "")
    if (
        part.get_content_type() != "application/http"
        or len(words) < 2
        or not content_id.startswith("<")
    ):
        raise GoogleError(400, message="Failed to parse a part of the batch request")
    inner = message_from_bytes(rest.encode("utf-8", "surrogateescape"), policy=policy.compat32)
    body = inner.get_payload(decode=False)
    headers = tuple((name.lower(), str(value)) for name, value in inner.items())
    return Part(
        content_id, words[0], words[1], headers, body.encode() if isinstance(body, str) else b""
    )


def _written(boundary: str, part: Part, response: PartResponse) -> bytes:
    lines = [
        f"--{boundary}",
        "Content-Type: application/http",
        f"Content-ID: <response-{part.content_id[1:]}",
        "",
        f"HTTP/1.1 {response.status} {http.HTTPStatus(response.status).phrase}",
        *(f"{name}: {value}" for name, value in response.headers),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + response.body + b"\r\n"


async def _served(app: App, faults: Faults, part: Part, outer: str | None) -> PartResponse:
    path = urlsplit(part.target).path
    fault = faults.take(f"{part.method} {path}")
    if fault is not None:
        await asyncio.sleep(fault.delay)
        if fault.status is not None or fault.drop == "before":
            return _faulty(fault)
    response = await _called(app, part, outer)
    return _faulty(fault) if fault is not None and fault.drop == "after" else response


def _faulty(fault: Fault) -> PartResponse:
    """Return the response for a fault; a part that should be dropped gets a 503."""
    status = fault.status or 503
    body = JSONResponse(error_body(status) if fault.body is None else fault.body).body
    return PartResponse(
        status, (("Content-Type", "application/json; charset=UTF-8"), *fault.headers), bytes(body)
    )


async def _called(app: App, part: Part, outer: str | None) -> PartResponse:
    """Call the app with one part, in this process, and return its response."""
    headers_by_name = dict(part.headers)
    if outer is not None:
        headers_by_name.setdefault("authorization", outer)  # a part's own header takes precedence
    parts = urlsplit(part.target)
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": part.method,
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in headers_by_name.items()
        ],
        "client": None,
        "server": ("gmail.googleapis.com", 443),
    }
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": part.body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"]
    )
    return PartResponse(
        sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])
    )
