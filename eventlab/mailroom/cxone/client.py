"""The CXone client, which creates work items and reports any unknown outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import msgspec

from eventlab.mailroom.cxone.reason import reason_in
from eventlab.mailroom.cxone.settings import CXoneSettings
from eventlab.mailroom.cxone.token import JSON_BODY, CXoneToken, CXoneTokens
from eventlab.mailroom.cxone.transport import CXoneRequest, CXoneResponse, CXoneTransport
from eventlab.mailroom.errors import MailroomError, WorkItemInDoubt, WorkItemRefused, WorkItemUnsent
from eventlab.mailroom.variables import CXONE_URL

ACCEPTED_STATUSES: Final = (200, 201, 202)
#: These statuses mean that the request was not processed. (A 302 or 303 may follow a processed
#: request.)
REDIRECT_STATUSES: Final = (301, 307, 308)
#: The server stopped waiting for the rest of the request, so the outcome is unknown.
REQUEST_TIMEOUT_STATUS: Final = 408


class WorkItemResponse(msgspec.Struct):
    """CXone's response to an accepted work item; the contact id may be missing.

    >>> msgspec.json.decode(b'{"contactId": 123456789012345678}', type=WorkItemResponse).contact_id
    123456789012345678
    """

    contact_id: int | str | None = msgspec.field(default=None, name="contactId")


class CXoneClient:
    """A client that creates work items in CXone and fetches its own tokens.

    A work item is posted again only if CXone definitely did not accept it before. ``timeout`` is a
    pair of limits for each attempt, in seconds: to connect and to read. No attempt starts after
    ``total_timeout`` seconds. ``sleep`` is called with the number of seconds to wait between
    attempts.

    >>> with CXoneClient(settings) as cxone:
    ...     cxone.post_work_item(work_item_id="gmail:1", payload="Hi", sender="joe@example.com")
    '123456789012345678'
    """

    def __init__(
        self,
        settings: CXoneSettings,
        *,
        timeout: tuple[float, float] = (5, 30),
        total_timeout: float = 90,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self._timeout = timeout
        self._total_timeout = total_timeout
        self._transport = CXoneTransport(timeout=timeout, sleep=sleep)
        self._tokens = CXoneTokens(settings, self._transport)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def max_call_seconds(self) -> float:
        """The number of seconds after which ``post_work_item`` can no longer reach CXone.

        No attempt starts after ``total_timeout``. An attempt takes at most the sum of its two
        timeouts, or twice that if the host has two addresses.

        >>> CXoneClient(settings, timeout=(1, 5), total_timeout=10).max_call_seconds
        22
        """
        return self._total_timeout + 2 * sum(self._timeout)

    def sign_in(self) -> str:
        """Get a token before the first email is sent, and return the URL of CXone's services.

        Raises ``WorkItemUnsent`` with the reason if CXone issues no token.

        >>> cxone.sign_in()
        'https://api-na1.niceincontact.com/inContactAPI/services'
        """
        return self._tokens.get(deadline=time.monotonic() + self._total_timeout).services

    def post_work_item(
        self,
        *,
        work_item_id: str,
        payload: str,
        sender: str,
        work_item_type: str = "email",
        point_of_contact: str | None = None,
    ) -> str | None:
        """Create a work item and return its contact id, or None if CXone returned no contact id.

        Without a ``point_of_contact``, the default one from the settings is used. CXone does not
        reject a duplicate ``work_item_id``; it only shows the id to agents.

        Raises ``WorkItemRefused`` if CXone rejected the work item, ``WorkItemUnsent`` if CXone
        definitely did not accept it (try again later), and ``WorkItemInDoubt`` if the outcome is
        unknown.
        """
        deadline = time.monotonic() + self._total_timeout
        fields = {
            "pointOfContact": point_of_contact or self.settings.points.default,
            "workItemId": work_item_id,
            "workItemPayload": payload,
            "workItemType": work_item_type,
        }
        fields |= {"from": sender} if sender else {}
        response, token = self._send(fields, deadline)
        if response.status in ACCEPTED_STATUSES:
            return _contact_id(response.body)
        raise self._problem(response, (token, payload, sender))

    def _send(self, fields: dict[str, str], deadline: float) -> tuple[CXoneResponse, str]:
        token = self._tokens.get(deadline=deadline)
        response = self._transport.send(self._request(token, fields), deadline=deadline)
        if response.status == 401:  # not processed: a token may expire early or be revoked
            self._tokens.drop(token)
            token = self._tokens.get(deadline=deadline)
            response = self._transport.send(self._request(token, fields), deadline=deadline)
        if response.status == 401:
            self._tokens.drop(token)
        return response, token.value

    def _request(self, token: CXoneToken, fields: dict[str, str]) -> CXoneRequest:
        point = {"pointOfContact": fields["pointOfContact"]}
        in_body = self.settings.where == "body"
        rest = {name: value for name, value in fields.items() if name not in point}
        body = fields if in_body else rest
        return CXoneRequest(
            method="POST",
            url=f"{token.services}/{self.settings.version}/interactions/work-items",
            auth=token.auth,
            headers=JSON_BODY,
            params={} if in_body else point,
            # Text is not escaped, because escaping makes Japanese twice as long. A lone surrogate,
            # which is not a character, becomes "?".
            data=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        )

    def _problem(self, response: CXoneResponse, sent: tuple[str, ...]) -> MailroomError:
        status = response.status
        secrets = (*sent, *self._tokens.secrets())
        reason = reason_in(response.headers, response.body, sent=secrets)
        because = f": {reason}" if reason else ""
        if response.is_busy:
            return WorkItemUnsent(f"CXone is busy ({status}){because}")
        if status == 401:
            return WorkItemUnsent(f"CXone rejected two tokens in a row (401){because}")
        if status in REDIRECT_STATUSES:
            return WorkItemUnsent(
                f"CXone redirected the request to another address ({status}), and redirects are "
                f"not followed: check {CXONE_URL}"
            )
        if 400 <= status < 500 and status != REQUEST_TIMEOUT_STATUS:
            return WorkItemRefused(status, reason or "no reason given")
        return WorkItemInDoubt(f"CXone responded with {status}{because}")


def _contact_id(body: bytes) -> str | None:
    try:
        found = msgspec.json.decode(body, type=WorkItemResponse).contact_id
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # the work item was accepted anyway
        return None
    return str(found) if found else None
