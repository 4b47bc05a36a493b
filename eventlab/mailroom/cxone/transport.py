"""The line to CXone: one request, repeated only when it has certainly not been taken."""

from __future__ import annotations

import email.utils
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
from eventlab.mailroom.urls import is_loopback

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 4
LONGEST_WAIT: Final = 30.0  # whatever a Retry-After asks for
LARGEST_ANSWER: Final = 64 * 1024
JSON: Final = {"Accept": "application/json"}  # without it CXone says "No known way to render data"


class NoAuth(AuthBase):
    """No Authorization at all: told so that requests does not look one up in ``~/.netrc``."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Leave the request as it is."""
        return request


@dataclass(frozen=True)
class AuthorizationHeader(AuthBase):
    """An Authorization header, set last: one that is set by hand gives way to what ``~/.netrc`` says."""

    value: str = field(repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header on the request."""
        request.headers["Authorization"] = self.value
        return request


@dataclass(frozen=True, kw_only=True)
class CXoneRequest:
    """A request as it goes out; what it holds is not shown."""

    method: str
    url: str
    auth: AuthBase = field(default_factory=NoAuth, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    data: bytes | Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CXoneResponse:
    """What came back: status, headers without regard to case, at most 64 KB of the body, and if that was all of it."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    whole: bool = True

    @property
    def turned_away(self) -> bool:
        """True if the server was too busy to look: 429, or 503 with a Retry-After. A bare 503 may be anyone's."""
        return self.status == 429 or (self.status == 503 and "Retry-After" in self.headers)


class CXoneTransport:
    """HTTP with patience: how long a request may take, when it is sent again, and what is known when it fails.

    Sent again is what was turned away (429, 503 with Retry-After) and what found no connection, at most three times,
    and none after ``until``, a time of ``time.monotonic()``. A request that is ``safe`` is sent again after anything.
    urllib3's own Retry is not used: it also repeats a 413, and has no end that one could promise.

    >>> with CXoneTransport(timeout=(5, 30)) as line:
    ...     transport.send(CXoneRequest(method="GET", url=url), until=time.monotonic() + 60, safe=True).status
    200
    """

    def __init__(
        self, *, timeout: tuple[float, float], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._timeout, self._sleep = timeout, sleep
        self._outside, self._inside = requests.Session(), requests.Session()
        self._inside.trust_env = False  # no proxy between us and this machine
        for session in (self._outside, self._inside):
            session.headers["User-Agent"] = "eventlab"

    def close(self) -> None:
        """Close the connections.

        Example: ``line.close()``
        """
        self._outside.close()
        self._inside.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, call: CXoneRequest, *, until: float, safe: bool = False) -> CXoneResponse:
        """Send a request and give the answer, whatever its status.

        Raises ``WorkItemUnsent`` when it has certainly not arrived, ``WorkItemInDoubt`` when it may have.

        Example: ``transport.send(CXoneRequest(method="POST", url=url, data=b"{}"), until=time.monotonic() + 60)``
        """
        problem: WorkItemUnsent | WorkItemInDoubt = WorkItemUnsent("there was no time left for it")
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if time.monotonic() >= until:
                break
            answer = None
            try:
                answer = self._once(call)
                if not (
                    answer.turned_away or (safe and (answer.status >= 500 or not answer.whole))
                ):
                    return answer
            except WorkItemUnsent as error:
                problem = error
            except WorkItemInDoubt as error:
                if not safe:
                    raise
                problem = error
            wait = _wait(answer, attempt)
            if attempt == MAX_ATTEMPTS or time.monotonic() + wait >= until:
                if answer is not None:
                    return answer
                break
            log.info(
                "CXone: %s, again in %.1f s", answer.status if answer else problem.reason, wait
            )
            self._sleep(wait)
        raise problem

    def _once(self, call: CXoneRequest) -> CXoneResponse:
        session = self._inside if is_loopback(call.url) else self._outside
        end = time.monotonic() + sum(self._timeout)
        try:
            request = session.prepare_request(
                requests.Request(
                    call.method,
                    call.url,
                    auth=call.auth,
                    headers={**JSON, **call.headers},
                    params=call.params,
                    data=call.data,
                )
            )
            how: Any = session.merge_environment_settings(call.url, {}, True, None, None)
            # Not session.send: a redirect is neither followed nor prepared; the token goes where it was sent.
            with session.get_adapter(call.url).send(
                request, timeout=self._timeout, **how
            ) as response:
                body, whole = _body(response, end)
                return CXoneResponse(response.status_code, response.headers, body, whole)
        except (requests.RequestException, Urllib3Error) as error:
            raise _fate(error) from None  # its text holds the URL and the host


def _body(response: requests.Response, end: float) -> tuple[bytes, bool]:
    # The status is the answer; a body that breaks off takes nothing back.
    body = bytearray()
    try:
        for chunk in response.iter_content(8192):
            body += chunk
            if len(body) > LARGEST_ANSWER or time.monotonic() > end:
                return bytes(body[:LARGEST_ANSWER]), False
    except (requests.RequestException, Urllib3Error):
        return bytes(body), False
    return bytes(body), True


def _wait(answer: CXoneResponse | None, attempt: int) -> float:
    asked = _retry_after(answer.headers.get("Retry-After", "")) if answer else None
    if asked is None:
        asked = 2.0 ** (attempt - 1) * random.uniform(0.5, 1)
    return min(asked, LONGEST_WAIT)


def _retry_after(text: str) -> float | None:
    if text.strip().isdecimal():
        return float(text[:12])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _fate(error: Exception) -> WorkItemUnsent | WorkItemInDoubt:
    """What is known of a request that got no answer."""
    causes = [type(cause) for cause in _causes(error)]
    if isinstance(
        error, requests.exceptions.ProxyError
    ):  # raised only until the proxy has let us through
        return WorkItemUnsent("the proxy did not let us through")
    if any(
        issubclass(cause, ConnectTimeoutError) for cause in causes
    ):  # refused, unknown or unreachable host too
        return WorkItemUnsent("CXone could not be reached")
    if any(issubclass(cause, ssl.SSLCertVerificationError) for cause in causes):
        return WorkItemUnsent("CXone's certificate is not to be trusted")
    if isinstance(error, requests.exceptions.InvalidURL):
        return WorkItemUnsent("CXone's address is no URL")
    if isinstance(error, requests.Timeout):
        return WorkItemInDoubt("no answer came in time")
    return WorkItemInDoubt("the connection broke before the answer came")


def _causes(error: BaseException) -> list[BaseException]:
    """An error, and all that urllib3 and requests have wrapped in it."""
    found: list[BaseException] = []
    open_: list[Any] = [error]
    while open_:
        one = open_.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            open_ += [
                *one.args,
                one.__cause__,
                getattr(one, "reason", None),
                getattr(one, "original_error", None),
            ]
    return found
