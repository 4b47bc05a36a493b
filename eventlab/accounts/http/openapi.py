"""The OpenAPI document: every answer that can come, on every route."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from eventlab.accounts.http import schemas
from eventlab.accounts.http.correlation import HEADER, PATTERN
from eventlab.accounts.service import Balance

BODIES: Final = (
    schemas.NewAccount,
    schemas.Money,
    schemas.Opened,
    schemas.Moved,
    schemas.Events,
    schemas.Accounts,
    schemas.Health,
    schemas.Error,
    schemas.Conflict,
    Balance,
)
MEANINGS: Final = {
    400: "A rule of the bank says no, or the request cannot be read; nothing was written",
    404: "There is no such account, or it is not at that version",
    409: "Others were faster, again and again; nothing was written",
    412: "The account is at none of the versions of If-Match; nothing was written",
    413: "The body is too long",
    422: "The Idempotency-Key stands for another request; nothing was written",
    500: "A fault of the service",
    503: "Redis or MongoDB does not answer",
}
ID: Final = {
    "description": "The correlation id of the request, or a new one",
    "schema": {"type": "string"},
}
ID_SCHEMA: Final[dict[str, Any]] = {"minLength": 1, "maxLength": 512, "pattern": "^[^/]+$"}
IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "Do it only if the account is at one of these versions: ETags, or *",
    "schema": {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, (W/)?"[!#-~]*")*)$'},
}
ETAG: Final = {
    "description": "The version of the account",
    "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
}


def responses(
    code: int, body: type, *errors: int, **headers: Any
) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: the good one with its headers, and the errors.

    Example: ``responses(200, Balance, 404, ETag=ETAG)``
    """
    good = {"description": body.__doc__, "content": _json(body), "headers": headers}
    return {code: good, **{error: _error(error) for error in (*errors, 500, 503)}}


def request_body(body: type, *parameters: dict[str, Any]) -> dict[str, Any]:
    """What a route adds to the document about the body, and the parameters, that it reads by itself.

    Example: ``app.post("/accounts", openapi_extra=request_body(NewAccount))``
    """
    return {
        "requestBody": {"required": True, "content": _json(body)},
        "parameters": list(parameters),
    }


def describe(app: FastAPI) -> None:
    """Give the app its document, made once, when it is asked for.

    Example: ``describe(app)``
    """

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
    given = {
        "name": HEADER,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": PATTERN},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            if "HTTPValidationError" in str(answers.get("422")):
                del answers["422"]  # FastAPI's own; here it is a 400
            answers.setdefault("400", _error(400))
            operation.setdefault("parameters", []).append(given)
            for answer in answers.values():
                answer.setdefault("headers", {})[HEADER] = ID
    return document


def _error(code: int) -> dict[str, Any]:
    with_version = code in (409, 412)
    headers = {"ETag": ETAG} if with_version else {}
    content = _json(schemas.Conflict if with_version else schemas.Error)
    return {"description": MEANINGS[code], "content": content, "headers": headers}


def _json(body: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}
