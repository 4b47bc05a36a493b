"""The transport to CXone, which retries a request only if a repeat can do no harm."""

from __future__ import annotations

import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import requests
from requests.auth import AuthBase
from urllib3.exceptions import ConnectTimeoutError
from urllib3.exceptions import HTTPError as Urllib3Error

from eventlab.mailroom.errors import WorkItemInDoubt, WorkItemUnsent
from eventlab.mailroom.http_session import HttpSession, NoAuth
from eventlab.mailroom.retry_after import retry_after_seconds

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 4
MAX_WAIT_SECONDS: Final = 30.0  # even if Retry-After asks for more
MAX_BODY_BYTES: Final = 64 * 1024
#: Without this header, CXone responds with "No known way to render data".
ACCEPT_JSON: Final = {"Accept": "application/json"}


@dataclass(frozen=True)
class AuthorizationHeader(AuthBase):
    """An Authorization header that is set last, so that ``~/.netrc`` cannot replace it."""

    value: str = field(repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header on the request."""
        request.headers["Authorization"] = self.value
        return request


@dataclass(frozen=True, kw_only=True)
class CXoneRequest:
    """A request to send; ``repr`` hides its headers, parameters and body."""

    method: str
    url: str
    auth: AuthBase = field(default_factory=NoAuth, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    data: bytes | Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CXoneResponse:
    """A response: its status, its headers, and at most 64 KB of its body.

    Header names are case-insensitive. ``complete`` is False if the body was longer or was cut off.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True

    @property
    def is_busy(self) -> bool:
        """True if the server did not process the request: 429, or 503 with Retry-After.

        A 503 without Retry-After may come from a proxy after the request has reached CXone.
        """
        return self.status == 429 or (self.status == 503 and "Retry-After" in self.headers)


class CXoneTransport:
    """Sends requests to CXone and, after a failure, reports whether a request may have arrived.

    A request is retried if the server was busy (429, or 503 with Retry-After) or could not be
    reached, at most three times, and not after ``deadline``, a ``time.monotonic()`` value. A
    request that is ``safe`` is retried after any failure. ``timeout`` is a pair of limits, in
    seconds: to connect, and to read the whole response. ``sleep`` is called with the number of
    seconds to wait. urllib3's own ``Retry`` is not used, because it also repeats a request after a
    413 and has no overall time limit.
    """

    def __init__(
        self, *, timeout: tuple[float, float], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._sleep = sleep
        self._session = HttpSession(timeout=timeout, max_seconds=timeout[1])

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, request: CXoneRequest, *, deadline: float, safe: bool = False) -> CXoneResponse:
        """Send a request and return the response, whatever its status.

        Raises ``WorkItemUnsent`` if the request definitely did not arrive, and ``WorkItemInDoubt``
        if it may have arrived.
        """
        problem: WorkItemUnsent | WorkItemInDoubt = WorkItemUnsent("no time was left to send it")
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if time.monotonic() >= deadline:
                break
            response = None
            try:
                response = self._send_once(request)
                if not (response.is_busy or (safe and _failed(response))):
                    return response
            except WorkItemUnsent as error:
                problem = error
            except WorkItemInDoubt as error:
                if not safe:
                    raise
                problem = error
            wait = _wait_seconds(response, attempt)
            if attempt == MAX_ATTEMPTS or time.monotonic() + wait >= deadline:
                if response is not None:
                    return response
                break
            log.info(
                "CXone: %s, next attempt in %.1f s",
                response.status if response else problem.reason,
                wait,
            )
            self._sleep(wait)
        raise problem

    def _send_once(self, request: CXoneRequest) -> CXoneResponse:
        sent = requests.Request(
            request.method,
            request.url,
            auth=request.auth,
            headers={**ACCEPT_JSON, **request.headers},
            params=request.params,
            data=request.data,
        )
        try:
            with self._session.send(sent) as response:
                body, complete = _read_body(response)
                return CXoneResponse(response.status_code, response.headers, body, complete)
        except (requests.RequestException, Urllib3Error) as error:
            raise _outcome(error) from None  # the error's text contains the URL and the host


def _failed(response: CXoneResponse) -> bool:
    return response.status >= 500 or not response.complete


def _read_body(response: requests.Response) -> tuple[bytes, bool]:
    # The status decides the outcome, even if the body is cut off.
    body = bytearray()
    try:
        for chunk in response.iter_content(8192):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return bytes(body[:MAX_BODY_BYTES]), False
    except (requests.RequestException, Urllib3Error):
        return bytes(body), False
    return bytes(body), True


def _wait_seconds(response: CXoneResponse | None, attempt: int) -> float:
    header = response.headers.get("Retry-After") if response else None
    asked_for = retry_after_seconds(header, longest=MAX_WAIT_SECONDS)
    if asked_for is not None:
        return asked_for
    return min(2.0 ** (attempt - 1) * random.uniform(0.5, 1), MAX_WAIT_SECONDS)


def _outcome(error: Exception) -> WorkItemUnsent | WorkItemInDoubt:
    """Return an error that says whether a request without a response may have arrived."""
    causes = [type(cause) for cause in _causes(error)]
    # raised only before the proxy has opened the connection
    if isinstance(error, requests.exceptions.ProxyError):
        return WorkItemUnsent("the proxy rejected the connection")
    # also raised for a connection that is refused, and for an unknown or unreachable host
    if any(issubclass(cause, ConnectTimeoutError) for cause in causes):
        return WorkItemUnsent("CXone could not be reached")
    if any(issubclass(cause, ssl.SSLCertVerificationError) for cause in causes):
        return WorkItemUnsent("CXone's certificate is not trusted")
    if isinstance(error, requests.exceptions.InvalidURL):
        return WorkItemUnsent("CXone's address is not a URL")
    if isinstance(error, requests.Timeout):
        return WorkItemInDoubt("no response arrived in time")
    return WorkItemInDoubt("the connection ended before the response arrived")


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and everything that urllib3 and requests have wrapped in it."""
    found: list[BaseException] = []
    unchecked: list[Any] = [error]
    while unchecked:
        candidate = unchecked.pop()
        if isinstance(candidate, BaseException) and candidate not in found:
            found.append(candidate)
            unchecked += [
                *candidate.args,
                candidate.__cause__,
                getattr(candidate, "reason", None),
                getattr(candidate, "original_error", None),
            ]
    return found
