"""A CXone client for an agent: log in, wait for work items, and accept, reject or end them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from eventlab.mailroom.cxone.settings import CXoneSettings
from eventlab.mailroom.cxone.token import CXoneTokens
from eventlab.mailroom.cxone.transport import CXoneRequest, CXoneResponse, CXoneTransport

TOTAL_TIMEOUT_SECONDS: Final = 90.0
AgentEvent = Mapping[str, str]


class AgentRequestFailed(Exception):
    """Raised when CXone rejects an agent's request. Data: ``status``, ``reason``."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"CXone rejected the agent's request ({status}): {reason}")


class AgentClient:
    """A client for one agent session, which the constructor opens.

    The settings must use ``accesskey`` or ``oidc``; a legacy token can only post work items.

    >>> with AgentClient(fake.settings(serving.url)) as agent:
    ...     [offer] = agent.next_events(5)
    ...     agent.accept(offer["ContactID"])
    ...     [answered] = agent.next_events(5)
    ...     agent.end(offer["ContactID"])
    >>> answered["ScreenPopUrl"].endswith(offer["ContactID"])
    True
    """

    def __init__(self, settings: CXoneSettings) -> None:
        self._transport = CXoneTransport(timeout=(5, 70))  # longer than the longest poll
        token = CXoneTokens(settings, self._transport).get(
            deadline=time.monotonic() + TOTAL_TIMEOUT_SECONDS
        )
        self._base = f"{token.services}/{settings.version}"
        self._auth = token.auth
        self._session: str = _json(self._call("POST", "agent-sessions"))["sessionId"]

    def next_events(self, seconds: float = 0) -> list[AgentEvent]:
        """Wait up to ``seconds`` (60 at most) for new events and return them, oldest first.

        >>> [event["Status"] for event in agent.next_events(5)]
        ['Incoming']
        """
        path = f"{self._path}/get-next-event"
        body = _json(self._call("GET", path, {"timeout": str(seconds)}))
        self._session = body["sessionId"]  # each response contains a new id
        events: list[AgentEvent] = body["events"]
        return events

    def accept(self, contact_id: str) -> None:
        """Accept an offered contact; the contact's next event contains the screen pop's URL."""
        self._act(contact_id, "accept")

    def reject(self, contact_id: str) -> None:
        """Reject an offered contact, which returns to the queue and may be offered to you again."""
        self._act(contact_id, "reject")

    def end(self, contact_id: str) -> None:
        """End a contact."""
        self._act(contact_id, "end")

    def close(self) -> None:
        """Log out; a contact that has not been ended goes back to the queue."""
        try:
            self._call("DELETE", self._path)
        finally:
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
    def _path(self) -> str:
        return f"agent-sessions/{self._session}"

    def _act(self, contact_id: str, action: str) -> None:
        self._call("POST", f"{self._path}/interactions/{contact_id}/{action}")

    def _call(
        self, method: str, path: str, params: Mapping[str, str] | None = None
    ) -> CXoneResponse:
        request = CXoneRequest(
            method=method, url=f"{self._base}/{path}", auth=self._auth, params=params or {}
        )
        response = self._transport.send(request, deadline=time.monotonic() + TOTAL_TIMEOUT_SECONDS)
        if response.status >= 300:
            raise AgentRequestFailed(
                response.status, response.headers.get("icStatusDescription", "")
            )
        return response


def _json(response: CXoneResponse) -> Any:
    return msgspec.json.decode(response.body)
