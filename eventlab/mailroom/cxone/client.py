"""CXone: a mail goes in as a work item, and what is not known about it is said."""

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

TAKEN: Final = (200, 201, 202)
ELSEWHERE: Final = (301, 307, 308)  # "not here", while 302 and 303 may come after the work is done
NOT_WHOLE: Final = (
    408  # the server did not wait for the end of the request; nobody says what it did with the rest
)


class Accepted(msgspec.Struct):
    """CXone's answer to a work item; some answers hold no contact id.

    >>> msgspec.json.decode(b'{"contactId": 123456789012345678}', type=Accepted).contact_id
    123456789012345678
    """

    contact_id: int | str | None = msgspec.field(default=None, name="contactId")


class CXoneClient:
    """A client of CXone's work items, that fetches its tokens itself. Sent again is only what is certainly unsent.

    ``timeout`` is for connecting and for reading, in seconds; after ``total_timeout`` seconds nothing is sent any more.

    >>> with CXoneClient(settings) as cxone:
    ...     cxone.post_work_item(work_item_id="gmail:18f1", payload="Hello", sender="joe@example.com")
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
        self._timeout, self._total_timeout = timeout, total_timeout
        self._transport = CXoneTransport(timeout=timeout, sleep=sleep)
        self._tokens = CXoneTokens(settings, self._transport)

    def close(self) -> None:
        """Close the connections.

        Example: ``cxone.close()``
        """
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
        """Seconds after which nothing of a call to ``post_work_item`` can arrive at CXone any more.

        No attempt begins after ``total_timeout``; an attempt takes its timeouts, twice for a host with two addresses.

        >>> CXoneClient(settings, timeout=(1, 5), total_timeout=10).max_call_seconds
        22
        """
        return self._total_timeout + 2 * sum(self._timeout)

    def sign_in(self) -> str:
        """Get a token now rather than with the first mail; give the address of the services that it opens.

        Raises ``WorkItemUnsent`` with the reason if there is none to be had.

        >>> cxone.sign_in()
        'https://api-na1.niceincontact.com/inContactAPI/services'
        """
        return self._tokens.get(until=time.monotonic() + self._total_timeout).services

    def post_work_item(
        self, *, work_item_id: str, payload: str, sender: str, work_item_type: str = "email"
    ) -> str | None:
        """Give CXone a work item; returns its contact id, or None if CXone took it and told none.

        CXone does not look if it has a ``work_item_id`` already: it is for people to see.

        Raises ``WorkItemRefused`` (CXone said no), ``WorkItemUnsent`` (try later), ``WorkItemInDoubt`` (taken or not).

        Example: ``cxone.post_work_item(work_item_id="gmail:18f1", payload="Hello", sender="joe@example.com")``
        """
        until = time.monotonic() + self._total_timeout
        fields = {
            "workItemId": work_item_id,
            "workItemPayload": payload,
            "workItemType": work_item_type,
        }
        fields |= {"from": sender} if sender else {}
        answer, token = self._send(fields, until)
        if answer.status in TAKEN:
            return _contact_id(answer.body)
        raise self._problem(answer, (token, payload, sender))

    def _send(self, fields: dict[str, str], until: float) -> tuple[CXoneResponse, str]:
        token = self._tokens.get(until=until)
        answer = self._transport.send(self._call(token, fields), until=until)
        if answer.status == 401:  # refused unread: a token may end early, or be revoked
            self._tokens.drop(token)
            token = self._tokens.get(until=until)
            answer = self._transport.send(self._call(token, fields), until=until)
        if answer.status == 401:
            self._tokens.drop(token)
        return answer, token.value

    def _call(self, token: CXoneToken, fields: dict[str, str]) -> CXoneRequest:
        point = {"pointOfContact": self.settings.point_of_contact}
        body, params = (
            ({**point, **fields}, {}) if self.settings.where == "body" else (fields, point)
        )
        return CXoneRequest(
            method="POST",
            url=f"{token.services}/{self.settings.version}/interactions/work-items",
            auth=token.auth,
            headers=JSON_BODY,
            params=params,
            # Not escaped: Japanese would be twice as long. A lone surrogate is no character, and becomes "?".
            data=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        )

    def _problem(self, answer: CXoneResponse, sent: tuple[str, ...]) -> MailroomError:
        status = answer.status
        told = reason_in(answer.headers, answer.body, sent=(*sent, *self._tokens.secrets()))
        because = f": {told}" if told else ""
        if answer.turned_away:
            return WorkItemUnsent(f"CXone is busy ({status}){because}")
        if status == 401:
            return WorkItemUnsent(f"CXone took neither of two tokens (401){because}")
        if status in ELSEWHERE:
            return WorkItemUnsent(
                f"CXone points elsewhere ({status}), and is not followed: check {CXONE_URL}"
            )
        if 400 <= status < 500 and status != NOT_WHOLE:
            return WorkItemRefused(status, told or "it gave no reason")
        return WorkItemInDoubt(f"CXone answered {status}{because}")


def _contact_id(body: bytes) -> str | None:
    try:
        found = msgspec.json.decode(body, type=Accepted).contact_id
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # it is taken all the same
        return None
    return str(found) if found else None
