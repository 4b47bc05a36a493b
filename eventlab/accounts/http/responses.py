"""The responses: a struct as JSON, and an error as a status code and a message."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import ReadOnlyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from eventlab.accounts.account import (
    AccountExists,
    InsufficientFunds,
    SameAccount,
    TooMuchMoney,
    UnknownAccount,
    VersionChanged,
)
from eventlab.accounts.http.etag import etag
from eventlab.accounts.http.schemas import Conflict, Error
from eventlab.errors import (
    CommandRejected,
    IdempotencyKeyReused,
    InvalidArgument,
    NotAdopted,
    VersionConflict,
)
from eventlab.store.answers import SERVER_ERRORS, is_outage, misconfiguration, server

log = logging.getLogger(__name__)

Handler = Callable[[Request, Any], Awaitable[Response]]

FIELDS: Final[Mapping[type, str]] = {
    AccountExists: "id",
    InsufficientFunds: "amount",
    SameAccount: "to",
    TooMuchMoney: "amount",
}


def answer(
    code: int, body: object, *, version: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a struct as a response, with the account's version as its ETag."""
    fields = dict(headers or {})
    if version is not None:
        fields["ETag"] = etag(version)
    return Response(msgspec.json.encode(body), code, fields, "application/json")


def error(code: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as a response."""
    return answer(code, Error(message), headers=headers)


def unchanged(version: int) -> Response:
    """Return the 304 response for a client that already has this version."""
    return Response(status_code=304, headers={"ETag": etag(version)})


def answer_errors(app: FastAPI, redis: Any) -> None:
    """Respond to every error that a request can raise with ``{"errorMessage": …}``.

    After an error from a Redis server that has become a replica, the Redis client opens new
    connections, because the host name may point to the new master by then.
    """
    handlers: dict[type[Exception], Handler] = {
        UnknownAccount: _as_status(404),
        InvalidArgument: _as_status(400),
        CommandRejected: _rejected,
        VersionConflict: _at_version(409),
        VersionChanged: _at_version(412),
        IdempotencyKeyReused: _key_reused,
        RequestValidationError: _invalid,
        HTTPException: _http,
        NotAdopted: _as_status(503),
        ClientDisconnect: _as_status(400),  # no client reads it
        **dict.fromkeys(SERVER_ERRORS, _server_error),
        ReadOnlyError: _replica(redis),
        Exception: _failed,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _as_status(code: int) -> Handler:
    async def handle(_request: Request, problem: Exception) -> Response:
        return error(code, str(problem))

    return handle


async def _rejected(_request: Request, problem: CommandRejected) -> Response:
    field = FIELDS.get(type(problem))
    return error(400, f"{field}: {problem}" if field else str(problem))


def _at_version(code: int) -> Handler:
    async def handle(_request: Request, problem: VersionConflict | VersionChanged) -> Response:
        return answer(code, Conflict(str(problem), problem.actual), version=problem.actual)

    return handle


async def _key_reused(_request: Request, problem: IdempotencyKeyReused) -> Response:
    return error(
        422,
        f"Idempotency-Key {problem.key!r} was used for another request: use a new key",
    )


async def _invalid(_request: Request, problem: RequestValidationError) -> Response:
    return error(400, "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in problem.errors()))


async def _http(request: Request, problem: HTTPException) -> Response:
    headers = problem.headers
    if problem.status_code == 405:
        headers = {"Allow": ", ".join(sorted(_methods(request)))}
    return error(problem.status_code, problem.detail, headers)


def _methods(request: Request) -> set[str]:
    # Starlette lists only the methods of the first route, but two routes may share a path.
    routes = [
        route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE
    ]
    methods = {method for route in routes for method in getattr(route, "methods", ())}
    return methods | {"HEAD"} if "GET" in methods else methods


async def _server_error(request: Request, problem: Exception) -> Response:
    if is_outage(problem):
        if (metrics := getattr(request.app.state, "metrics", None)) is not None:
            metrics.count_outage(problem)
        return error(
            503,
            f"{server(problem)} is unavailable: try again with the same Idempotency-Key",
            {"Retry-After": "1"},
        )
    if misconfiguration(problem):
        log.error("%s", misconfiguration(problem))
        return error(
            503,
            f"{server(problem)} denies access to this service: contact the service's operators",
        )
    raise problem


def _replica(redis: Any) -> Handler:
    async def handle(request: Request, problem: Exception) -> Response:
        if (pool := getattr(redis, "connection_pool", None)) is not None:
            pool.disconnect(inuse_connections=False)
        return await _server_error(request, problem)

    return handle


async def _failed(request: Request, _problem: Exception) -> Response:
    # This handler sets the header itself, because it runs outside all middleware. The server logs
    # the error.
    id: str = request.state.correlation_id
    return error(
        500,
        f"internal error: the cause is in the service's log (correlation id {id})",
        {"X-Correlation-Id": id},
    )
