"""The line to Gmail: one connection, one retry loop for single calls and for batches, errors as sentences."""

from __future__ import annotations

import http.client
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import google_auth_httplib2
import httplib2
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError, TransportError
from googleapiclient.discovery import build
from googleapiclient.errors import BatchError, HttpError
from googleapiclient.http import BatchHttpRequest

from eventlab.mailroom.errors import GmailFailed
from eventlab.mailroom.gmail.api_error import GmailApiError, classify_error
from eventlab.mailroom.gmail.credentials import direct, refresh_failed
from eventlab.mailroom.urls import checked_url
from eventlab.mailroom.variables import GMAIL_ENDPOINT

MAX_ATTEMPTS: Final = 7  # with their pauses a minute in all: Gmail counts its quota by the minute
LONGEST_PAUSE: Final = 32.0
#: No answer, or one that the batch client stumbles over: it takes for granted that no part is missing or misshapen.
UNREADABLE: Final = (
    *(OSError, httplib2.HttpLib2Error, http.client.HTTPException, TransportError),
    *(AttributeError, KeyError, TypeError, ValueError),
)
NONSENSE: Final = "Gmail answered with what cannot be read: try again later"

GmailResponse = dict[str, Any] | GmailApiError


class GmailTransport:
    """Gmail's API at an endpoint, for one thread: httplib2 gives answers to the wrong caller when threads share it.

    Raises ``BadSetting`` for an endpoint that is neither https nor this machine.

    Example: ``GmailTransport(load("token.json"), "https://gmail.googleapis.com", timeout=30, sleep=time.sleep)``
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
        self._bare = httplib2.Http(timeout=timeout, **direct(self._base))
        self._bare.follow_redirects = (
            False  # the API does not redirect; whoever does is not to get the token
        )
        self._authorized = google_auth_httplib2.AuthorizedHttp(credentials, http=self._bare)
        # Built on the bare one, requests carry no token into a batch's parts: the batch carries it for all of them, and
        # when it is renewed half way, for all of them too.
        self._api = build(
            "gmail",
            "v1",
            http=self._bare,
            static_discovery=True,
            client_options={"api_endpoint": self._base},
        )

    @property
    def users(self) -> Any:
        """The API's ``users`` resource, whose methods make requests and send nothing."""
        return self._api.users()

    def close(self) -> None:
        """Hang up."""
        self._bare.close()

    def ask(self, request: Any) -> GmailResponse:
        """Send one request; transient faults are repeated, what is refused for good is given back.

        Raises ``GmailFailed`` or ``TokenDead`` when all tries are used up.

        Example: ``line.ask(line.users.getProfile(userId="me"))``
        """
        return self._patiently(lambda: self._once(request))

    def batch(self, requests: Mapping[str, Any]) -> dict[str, GmailResponse]:
        """Send requests as one batch, once; give the answer of each by its name. Nothing is repeated here.

        When the batch as a whole is refused, each of them is. Raises ``TokenDead`` or ``GmailFailed`` if the token
        cannot be renewed.

        Example: ``line.batch({id: line.users.messages().get(userId="me", id=id)})``
        """
        answers: dict[str, GmailResponse] = {}

        def collect(name: str, answer: Any, error: HttpError | None) -> None:
            answers[name] = _readable(answer) if error is None else _classified(error)

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
        return answers

    def wait(self, tries: int, asked_for: float | None = None) -> None:
        """Pause before the next try, ``tries`` having failed: longer each time, and never in step with others.

        Example: ``line.wait(1)``
        """
        longest = min(2.0 ** (tries - 1), LONGEST_PAUSE)
        self._sleep(max(asked_for or 0.0, longest * random.uniform(0.5, 1.0)))

    def _patiently(self, once: Callable[[], GmailResponse]) -> GmailResponse:
        tries = 0
        while True:
            answer = once()
            tries += 1
            if not (isinstance(answer, GmailApiError) and answer.transient):
                return answer
            if tries == MAX_ATTEMPTS:
                raise answer.error()
            self.wait(tries, answer.wait)

    def _once(self, request: Any) -> GmailResponse:
        def send() -> GmailResponse:
            # not request.execute(): it writes the body of a 403 that it cannot read into the log
            answer, content = self._authorized.request(
                request.uri, method=request.method, body=request.body, headers=request.headers
            )
            if answer.status >= 300:
                return classify_error(answer.status, content, answer.get("retry-after"))
            return _readable(request.postproc(answer, content) or {})

        return self._guarded(send)

    def _guarded(self, send: Callable[[], GmailResponse]) -> GmailResponse:
        """Send, and give the answer, or what it means that none came; causes hold addresses and are not chained."""
        try:
            return send()
        except (
            BatchError
        ):  # is an HttpError too, with the status of the answer that it could not read
            return GmailApiError(0, NONSENSE, transient=True)
        except HttpError as error:
            return _classified(error)
        except RefreshError as error:
            raise refresh_failed(error) from None
        except GmailFailed:
            raise
        except UNREADABLE as error:
            self._bare.close()  # after a timeout the connection may still bring the old answer
            return GmailApiError(
                0,
                f"Gmail could not be reached ({type(error).__name__}): try again later",
                transient=True,
            )


def _readable(answer: Any) -> GmailResponse:
    return answer if isinstance(answer, dict) else GmailApiError(0, NONSENSE, transient=True)


def _classified(error: HttpError) -> GmailApiError:
    return classify_error(int(error.resp.status), error.content, error.resp.get("retry-after"))
