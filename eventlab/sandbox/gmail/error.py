"""Errors in the format of Google's API: a JSON body with a code, a status and reasons."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from eventlab.sandbox.faults import Fault

MESSAGES: Final = {
    "authError": "Request had invalid authentication credentials. Expected OAuth 2 access token.",
    "insufficientPermissions": "Request had insufficient authentication scopes.",
    "accessNotConfigured": (
        "Gmail API has not been used in project 123456789 before or it is disabled."
    ),
    "rateLimitExceeded": (
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user'."
    ),
    "userRateLimitExceeded": "User-rate limit exceeded. Retry after some time.",
    "dailyLimitExceeded": "Daily Limit Exceeded",
    "notFound": "Requested entity was not found.",
    "aborted": "Label name exists or conflicts",
    "backendError": "The service is currently unavailable.",
    "invalidArgument": "Invalid value",
}
STATUSES: Final = {
    400: ("invalidArgument", "INVALID_ARGUMENT"),
    401: ("authError", "UNAUTHENTICATED"),
    403: ("insufficientPermissions", "PERMISSION_DENIED"),
    404: ("notFound", "NOT_FOUND"),
    409: ("aborted", "ABORTED"),
    429: ("rateLimitExceeded", "RESOURCE_EXHAUSTED"),
    500: ("backendError", "INTERNAL"),
    503: ("backendError", "UNAVAILABLE"),
}


class GoogleError(Exception):
    """Raised for a request that the fake Gmail rejects, as Google would."""

    def __init__(self, code: int, reason: str | None = None, message: str | None = None) -> None:
        self.code = code
        self.body = error_body(code, reason, message)
        super().__init__(f"{code}")


def error_body(code: int, reason: str | None = None, message: str | None = None) -> dict[str, Any]:
    """Return the body of an error in Google's format.

    >>> error_body(403, "accessNotConfigured")["error"]["status"]
    'PERMISSION_DENIED'
    """
    usual, status = STATUSES.get(code, ("backendError", "UNKNOWN"))
    reason = reason or usual
    message = message or MESSAGES.get(reason, "Error")
    entry = {
        "message": message,
        "domain": "usageLimits" if code in (403, 429) else "global",
        "reason": reason,
    }
    return {"error": {"code": code, "message": message, "errors": [entry], "status": status}}


def gmail_fault(
    on: str,
    status: int,
    *,
    reason: str | None = None,
    times: int = 1,
    skip: int = 0,
    retry_after: int | str | None = None,
) -> Fault:
    """Return a fault with an error response in Google's format; see ``Fault`` for the arguments.

    The fault also applies to the parts of a batch, based on the method and path of each part.

    >>> gmail_fault("GET /gmail/v1/users/me/messages/", 429, retry_after=1).headers
    (('Retry-After', '1'),)
    """
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    return Fault(
        on=on,
        times=times,
        skip=skip,
        status=status,
        body=error_body(status, reason),
        headers=headers,
    )


def answer_error(_request: Request, error: Exception) -> Response:
    """Return the response to a rejected request, as an exception handler for FastAPI."""
    assert isinstance(error, GoogleError)
    headers = (
        {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
        if error.code == 401
        else None
    )
    return JSONResponse(error.body, error.code, headers)
