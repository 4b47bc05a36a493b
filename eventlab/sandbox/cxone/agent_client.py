"""An agent at CXone: logs in, is offered work items, accepts one, sees its screen pop, and ends it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from eventlab.mailroom.cxone.settings import CXoneSettings
from eventlab.mailroom.cxone.token import CXoneTokens
from eventlab.mailroom.cxone.transport import CXoneRequest, CXoneResponse, CXoneTransport

PATIENCE: Final = 90.0
Event = Mapping[str, str]


class AgentRequestFailed(Exception):
    """CXone did not do what the agent asked for. Data: ``status``, ``reason``."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(f"CXone refused ({status}): {reason}")


class AgentClient:
    """An agent session; it needs ``accesskey`` or ``oidc``, as the legacy token is good for work items only.

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
        token = CXoneTokens(settings, self._transport).get(until=time.monotonic() + PATIENCE)
        self._base, self._auth = f"{token.services}/{settings.version}", token.auth
        self._session: str = _json(self._call("POST", "agent-sessions"))["sessionId"]

    def next_events(self, seconds: float = 0) -> list[Event]:
        """Wait up to some seconds (60 at most) for what happens next; nothing is an empty list.

        >>> [event["Status"] for event in agent.next_events(5)]
        ['Incoming']
        """
        answer = self._call("GET", f"{self._here}/get-next-event", {"timeout": str(seconds)})
        told = _json(answer)
        self._session = told["sessionId"]  # another one with each answer
        events: list[Event] = told["events"]
        return events

    def accept(self, contact_id: str) -> None:
        """Take what is offered: its next event holds the screen pop.

        Example: ``agent.accept(offer["ContactID"])``
        """
        self._act(contact_id, "accept")

    def reject(self, contact_id: str) -> None:
        """Do not take what is offered; it goes to another agent, or comes again.

        Example: ``agent.reject(offer["ContactID"])``
        """
        self._act(contact_id, "reject")

    def end(self, contact_id: str) -> None:
        """Be done with a contact.

        Example: ``agent.end(offer["ContactID"])``
        """
        self._act(contact_id, "end")

    def close(self) -> None:
        """Log out; what is not ended waits for another agent.

        Example: ``agent.close()``
        """
        try:
            self._call("DELETE", self._here)
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
    def _here(self) -> str:
        return f"agent-sessions/{self._session}"

    def _act(self, contact_id: str, action: str) -> None:
        self._call("POST", f"{self._here}/interactions/{contact_id}/{action}")

    def _call(
        self, method: str, path: str, params: Mapping[str, str] | None = None
    ) -> CXoneResponse:
        call = CXoneRequest(
            method=method, url=f"{self._base}/{path}", auth=self._auth, params=params or {}
        )
        answer = self._transport.send(call, until=time.monotonic() + PATIENCE)
        if answer.status >= 300:
            raise AgentRequestFailed(answer.status, answer.headers.get("icStatusDescription", ""))
        return answer


def _json(answer: CXoneResponse) -> Any:
    return msgspec.json.decode(answer.body)
