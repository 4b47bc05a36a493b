"""The transport to Gmail, which sends requests, retries them, and returns errors as values."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import google_auth_httplib2
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError, TransportError
from googleapiclient.discovery import build
from googleapiclient.errors import BatchError, HttpError
from googleapiclient.http import BatchHttpRequest

from eventlab.mailroom.errors import GmailFailed
from eventlab.mailroom.gmail.api_error import GmailApiError, classify_error
from eventlab.mailroom.gmail.credentials import refresh_failed
from eventlab.mailroom.gmail.google_http import GoogleHttp, ResponseTooLarge
from eventlab.mailroom.urls import checked_url
from eventlab.mailroom.variables import GMAIL_ENDPOINT

#: The attempts take about a minute, including waits, because Gmail's quota is per minute.
MAX_ATTEMPTS: Final = 7
MAX_BACKOFF_SECONDS: Final = 32.0
#: Raised if there is no response, or if the batch client fails on a malformed part of it.
UNREADABLE: Final = (
    *(OSError, http.client.HTTPException, TransportError),
    *(AttributeError, KeyError, TypeError, ValueError),
)
UNREADABLE_RESPONSE: Final = "Gmail sent a response that cannot be read: try again later"

RESPONSE_TOO_LARGE: Final = "Gmail's response is over 16 MB: read this email in Gmail"

GmailResponse = dict[str, Any] | GmailApiError


class GmailTransport:
    """Gmail's API at an endpoint, to be used by one thread at a time.

    ``timeout`` is in seconds, for each connect and each read; ``sleep`` is called with the seconds
    to wait between attempts. Raises ``BadSetting`` if the endpoint neither uses https nor is on
    this machine.
    """

    def __init__(
        self,
        credentials: Credentials,
        endpoint: str,
        *,
        timeout: float,
        sleep: Callable[[float], object],
    ) -> None:
        self._base = checked_url(endpoint, setting=GMAIL_ENDPOINT)
        self._sleep = sleep
        self._bare = GoogleHttp(timeout=timeout)
        self._authorized = google_auth_httplib2.AuthorizedHttp(credentials, http=self._bare)
        # Requests are built on the bare connection, so the parts of a batch contain no token. The
        # batch itself carries the token for all parts, even if the token is renewed halfway.
        self._api = build(
            "gmail",
            "v1",
            http=self._bare,
            static_discovery=True,
            client_options={"api_endpoint": self._base},
        )

    @property
    def users(self) -> Any:
        """The API's ``users`` resource, whose methods build requests but do not send them."""
        return self._api.users()

    def close(self) -> None:
        """Close the connection."""
        self._bare.close()

    def send(self, request: Any) -> GmailResponse:
        """Send one request, retry transient errors, and return the response or the final error.

        Raises ``GmailFailed`` if all attempts fail, and ``ConsentRequired`` if the token cannot be
        renewed.
        """
        attempts = 0
        while True:
            response = self._send_once(request)
            attempts += 1
            if not (isinstance(response, GmailApiError) and response.transient):
                return response
            if attempts == MAX_ATTEMPTS:
                raise response.to_exception()
            self.wait(attempts, response.retry_after)

    def batch(self, requests: Mapping[str, Any]) -> dict[str, GmailResponse]:
        """Send requests as one batch, without retries, and return the responses by name.

        If Gmail rejects the batch as a whole, its error is returned for every request. Raises
        ``ConsentRequired`` or ``GmailFailed`` if the token cannot be renewed.
        """
        responses: dict[str, GmailResponse] = {}

        def collect(name: str, body: Any, error: HttpError | None) -> None:
            responses[name] = _readable(body) if error is None else _classified(error)

        # new_batch_http_request would ignore the endpoint and send the token to Google
        batch = BatchHttpRequest(callback=collect, batch_uri=f"{self._base}/batch")
        for name, request in requests.items():
            batch.add(request, request_id=name)

        def send() -> GmailResponse:
            batch.execute(http=self._authorized)
            return {}

        outcome = self._guarded(send)
        if isinstance(outcome, GmailApiError):
            return dict.fromkeys(requests, outcome)
        return responses

    def wait(self, attempts: int, asked_for: float | None = None) -> None:
        """Wait before the next attempt: longer after each failure, and with jitter.

        ``attempts`` is the number of failures so far. ``asked_for`` is the minimum wait that Gmail
        specified, in seconds.
        """
        longest = min(2.0 ** (attempts - 1), MAX_BACKOFF_SECONDS)
        self._sleep(max(asked_for or 0.0, longest * random.uniform(0.5, 1.0)))

    def _send_once(self, request: Any) -> GmailResponse:
        def send() -> GmailResponse:
            # not request.execute(): it logs the body of a 403 that it cannot read
            response, content = self._authorized.request(
                request.uri, method=request.method, body=request.body, headers=request.headers
            )
            if response.status >= 300:
                return classify_error(response.status, content, response.get("retry-after"))
            return _readable(request.postproc(response, content) or {})

        return self._guarded(send)

    def _guarded(self, send: Callable[[], GmailResponse]) -> GmailResponse:
        """Call ``send`` and return its response, or an error that says why there is no response.

        Errors are never chained, because their causes may contain addresses.
        """
        try:
            return send()
        except BatchError:  # an HttpError too, but its response is unreadable, so ignore its status
            return GmailApiError(0, UNREADABLE_RESPONSE, transient=True)
        except HttpError as error:
            return _classified(error)
        except RefreshError as error:
            raise refresh_failed(error) from None
        except GmailFailed:
            raise
        except ResponseTooLarge:
            return GmailApiError(0, RESPONSE_TOO_LARGE, too_large=True)
        except UNREADABLE as error:
            self._bare.close()  # after a timeout, the old response may still arrive
            return GmailApiError(
                0,
                f"Gmail could not be reached ({type(error).__name__}): try again later",
                transient=True,
            )


def _readable(body: Any) -> GmailResponse:
    if isinstance(body, dict):
        return body
    return GmailApiError(0, UNREADABLE_RESPONSE, transient=True)


def _classified(error: HttpError) -> GmailApiError:
    return classify_error(int(error.resp.status), error.content, error.resp.get("retry-after"))
