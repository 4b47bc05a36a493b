"""The OpenAPI document, with every response that each route can give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from eventlab.accounts.http import schemas
from eventlab.accounts.http.correlation import HEADER, PATTERN
from eventlab.accounts.service import Balance

BODIES: Final = (
    schemas.NewAccount,
    schemas.Money,
    schemas.NewTransfer,
    schemas.Opened,
    schemas.Moved,
    schemas.Transferred,
    schemas.Events,
    schemas.Accounts,
    schemas.Health,
    schemas.Error,
    schemas.Conflict,
    Balance,
)
DESCRIPTIONS: Final = {
    400: "A business rule rejected the command, or the request is invalid; nothing was written",
    404: "The account or the requested version does not exist",
    408: "The body did not arrive in time",
    409: "The account was changed concurrently on every attempt; nothing was written",
    412: "The account is not at any of the versions in If-Match; nothing was written",
    413: "The body is too large",
    422: "The Idempotency-Key was used for another request; nothing was written",
    500: "Internal error of the service",
    503: "Redis or MongoDB does not respond or does not accept the request: try again",
}
CORRELATION_ID: Final = {
    "description": "The correlation id of the request, or a new one",
    "schema": {"type": "string"},
}
ID_SCHEMA: Final[dict[str, Any]] = {"minLength": 1, "maxLength": 512, "pattern": "^[^/]+$"}
IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "Run the command only if the account is at one of these versions: ETags, or *",
    "schema": {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, (W/)?"[!#-~]*")*)$'},
}
IF_NONE_MATCH: Final = IF_MATCH | {
    "name": "If-None-Match",
    "description": "Respond with 304 if the account is at one of these versions: ETags, or *",
}
ETAG: Final = {
    "description": "The version of the account",
    "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
}


def responses(
    code: int, body: type, *errors: int, **headers: Mapping[str, Any]
) -> dict[int | str, dict[str, Any]]:
    """Describe the responses of a route: the successful one with its headers, and the errors."""
    good = {"description": body.__doc__, "content": _json(body), "headers": headers}
    return {code: good, **{error: _error(error) for error in (*errors, 500, 503)}}


def request_body(body: type, *parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe the body and the parameters that a route reads from the request itself."""
    return {
        "requestBody": {"required": True, "content": _json(body)},
        "parameters": list(parameters),
    }


def describe(app: FastAPI) -> None:
    """Make an app generate its OpenAPI document when the document is first requested."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    document["components"] = {"schemas": schemas.schemas(*BODIES)}
    parameter = {
        "name": HEADER,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": PATTERN},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            described = operation["responses"]
            if "HTTPValidationError" in str(described.get("422")):
                del described["422"]  # FastAPI adds this; the service responds with 400
            described.setdefault("400", _error(400))
            operation.setdefault("parameters", []).append(parameter)
            for response in described.values():
                response.setdefault("headers", {})[HEADER] = CORRELATION_ID
    return document


def _error(code: int) -> dict[str, Any]:
    with_version = code in (409, 412)
    headers = {"ETag": ETAG} if with_version else {}
    content = _json(schemas.Conflict if with_version else schemas.Error)
    return {"description": DESCRIPTIONS[code], "content": content, "headers": headers}


def _json(body: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}
