"""The fake CXone's agent sessions: log in, wait for events, and accept, reject or end contacts."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from eventlab.sandbox.cxone.auth import AGENT
from eventlab.sandbox.cxone.routing import AgentSession, Routing, WrongState

MAX_POLL_SECONDS: Final = 60.0
Check = Callable[[Request, str], Response | None]


def error_response(status: int, description: str) -> Response:
    """Return an error like CXone's: the reason is in a header, and the body is empty.

    >>> error_response(400, "Point of contact is not valid").headers["icStatusDescription"]
    'Point of contact is not valid'
    """
    return Response(status_code=status, headers={"icStatusDescription": description})


class AgentSessions:
    """The open agent sessions, and the routes that use them.

    A session's id is valid for one call of get-next-event, whose response contains the next id.
    ``check`` returns an error response for a request whose token is invalid or lacks a scope, and
    None otherwise.
    """

    def __init__(self, routing: Routing, check: Check) -> None:
        self._routing = routing
        self._check = check
        self._open: dict[str, AgentSession] = {}
        self._past: set[str] = set()
        self._numbers = itertools.count(1)
        self._new_events = asyncio.Condition()

    async def changed(self) -> None:
        """Wake the waiting requests after a routing change."""
        async with self._new_events:
            self._new_events.notify_all()

    def routes(self) -> APIRouter:
        """Return the routes for sessions and contacts."""
        routes = APIRouter()
        routes.add_api_route("/agent-sessions", self._start, methods=["POST"])
        routes.add_api_route("/agent-sessions/{session_id}", self._stop, methods=["DELETE"])
        routes.add_api_route(
            "/agent-sessions/{session_id}/get-next-event", self._next, methods=["GET"]
        )
        path = "/agent-sessions/{session_id}/interactions/{contact_id}/{action}"
        routes.add_api_route(path, self._act, methods=["POST"])
        routes.add_api_route("/contacts/{contact_id}", self._contact, methods=["GET"])
        routes.add_api_route("/contacts/{contact_id}/end", self._end, methods=["POST"])
        return routes

    async def _start(self, request: Request) -> Response:
        if (error := self._check(request, AGENT)) is not None:
            return error
        session = self._routing.log_in()
        return JSONResponse({"sessionId": self._named(session)}, 202)

    async def _stop(self, request: Request, session_id: str) -> Response:
        found = self._found(request, session_id)
        if isinstance(found, Response):
            return found
        self._past.add(session_id)
        self._routing.log_out(self._open.pop(session_id))
        await self.changed()
        return Response(status_code=202)

    async def _next(self, request: Request, session_id: str, timeout: str = "60") -> Response:
        found = self._found(request, session_id)
        seconds = _seconds(timeout)
        if isinstance(found, Response) or seconds is None:
            return found if isinstance(found, Response) else error_response(400, "Invalid timeout")
        try:
            async with asyncio.timeout(seconds), self._new_events:
                await self._new_events.wait_for(
                    lambda: found.events or session_id not in self._open
                )
        except TimeoutError:
            pass  # there are no new events, the usual end of a long poll
        if self._open.get(session_id) is not found:
            return error_response(409, "Agent session has ended")
        self._past.add(session_id)
        del self._open[session_id]
        events = found.events
        found.events = []
        return JSONResponse({"sessionId": self._named(found), "events": events})

    async def _act(
        self, request: Request, session_id: str, contact_id: str, action: str
    ) -> Response:
        found = self._found(request, session_id)
        if isinstance(found, Response):
            return found
        actions: dict[str, Callable[[], None]] = {
            "accept": lambda: self._routing.accept(found, contact_id),
            "reject": lambda: self._routing.reject(found, contact_id),
            "end": lambda: self._routing.end(contact_id, found),
        }
        if action not in actions:
            return error_response(404, "No such action")
        return await self._done(actions[action])

    async def _end(self, request: Request, contact_id: str) -> Response:
        if (error := self._check(request, AGENT)) is not None:
            return error
        return await self._done(lambda: self._routing.end(contact_id))

    async def _contact(self, request: Request, contact_id: str) -> Response:
        if (error := self._check(request, AGENT)) is not None:
            return error
        contact = self._routing.contacts.get(contact_id)
        if contact is None:
            return error_response(404, "No such contact")
        # As in CXone, the response lacks the work item's own id, so it cannot reveal duplicates.
        return JSONResponse(
            {
                "contactId": int(contact_id),
                "stateName": contact.state,
                "mediaTypeId": 6,
                "pointOfContactName": contact.point.name,
                "skillName": contact.point.skill,
                "fromAddress": contact.item.sender,
                "abandoned": contact.abandoned,
            }
        )

    async def _done(self, action: Callable[[], None]) -> Response:
        try:
            action()
        except WrongState as error:
            return error_response(400, str(error))
        await self.changed()
        return Response(status_code=202)

    def _named(self, session: AgentSession) -> str:
        id = f"session-{next(self._numbers)}"
        self._open[id] = session
        return id

    def _found(self, request: Request, session_id: str) -> AgentSession | Response:
        if (error := self._check(request, AGENT)) is not None:
            return error
        if session_id in self._past:
            return error_response(409, "Agent session has ended, or this is not its latest id")
        return self._open.get(session_id) or error_response(404, "No such agent session")


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(seconds, MAX_POLL_SECONDS) if math.isfinite(seconds) and seconds >= 0 else None
