"""A fake NICE CXone that accepts, rejects and routes work items like the real CXone."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from eventlab.mailroom.cxone.settings import AuthMethod, CXoneSettings
from eventlab.sandbox.cxone.agents import AgentSessions, error_response
from eventlab.sandbox.cxone.auth import PATRON, FakeCXoneCredentials, TokenIssuer, token_routes
from eventlab.sandbox.cxone.routing import PointOfContact, ReceivedWorkItem, Routing
from eventlab.sandbox.cxone.screen_pop import HEADERS, screen_pop
from eventlab.sandbox.faults import App, Faults, FaultyApp, Receive, Scope, Send

MAX_PAYLOAD_BYTES: Final = 50 * 1024  # in UTF-8
#: The first contact id. Like CXone's own ids, it has more digits than a float can hold.
FIRST_CONTACT_ID: Final = 412_345_678_900_000_001
SERVICES: Final = "/incontactapi/services/{version}"
NOT_JSON_TEXT: Final = "No known way to render data"
FIELDS: Final = ("pointOfContact", "workItemPayload", "workItemType", "from")


class FakeCXone:
    """A fake CXone. Serve its ``app``, inject ``faults``, and read the accepted ``work_items``.

    A test may change these attributes while the fake is served: ``empty_answers`` (return a 202
    without a contact id), ``oversize`` (reject or truncate a payload over 50 KB), and
    ``issuer.seconds`` (the lifetime of new tokens).
    """

    def __init__(
        self,
        points: Sequence[PointOfContact],
        credentials: FakeCXoneCredentials,
        html_of: Callable[[str], str | None] | None,
        token_seconds: float,
    ) -> None:
        self.empty_answers = False
        self.oversize: Literal["reject", "truncate"] = "reject"
        self.work_items: list[ReceivedWorkItem] = []
        self.faults = Faults()
        self.credentials = credentials
        self.issuer = TokenIssuer(seconds=token_seconds)
        self.routing = Routing(points)
        self._html_of = html_of
        self._contact_ids = itertools.count(FIRST_CONTACT_ID)
        self._sessions = AgentSessions(self.routing, self._authorization_error)
        self.app: App = FaultyApp(_AnyCase(self._routes()), self.faults)

    def expire_tokens(self) -> None:
        """Expire all issued tokens now."""
        self.issuer.expire()

    def settings(
        self, url: str, *, auth: AuthMethod = "oidc", version: str = "v30.0"
    ) -> CXoneSettings:
        """Return the settings for a client of this fake server, which runs at ``url``."""
        known = self.credentials
        legacy = auth == "legacy"
        oidc = auth == "oidc"
        return CXoneSettings(
            auth=auth,
            url=url,
            key=known.application if legacy else known.key,
            secret=known.application_key if legacy else known.secret,
            client=known.client if oidc else "",
            client_secret=known.client_secret if oidc else "",
            point_of_contact=next(iter(self.routing.points)),
            version=version,
        )

    def _routes(self) -> FastAPI:
        app = FastAPI(openapi_url=None)
        app.include_router(token_routes(self.issuer, self.credentials))
        app.include_router(self._sessions.routes(), prefix=SERVICES)
        app.add_api_route(f"{SERVICES}/interactions/work-items", self._take, methods=["POST"])
        app.add_api_route("/screen-pop/{contact_id}", self._screen_pop, methods=["GET"])
        return app

    async def _take(self, request: Request, version: str) -> Response:
        if (error := self._authorization_error(request, PATRON)) is not None:
            return error
        if not re.fullmatch(r"v\d{1,3}\.\d{1,3}", version):
            return error_response(404, "There is no such version of the API")
        fields = _fields(request.query_params, await request.body())
        if fields is None:
            return error_response(400, "The request is not valid")
        if fields["pointOfContact"] not in self.routing.points:
            return error_response(400, "Point of contact is not valid")
        # JSON can encode a lone surrogate, which is not a character.
        payload = fields["workItemPayload"].encode("utf-8", "replace")
        if len(payload) > MAX_PAYLOAD_BYTES and self.oversize == "reject":
            return error_response(400, "workItemPayload is larger than 50 KB")
        contact_id = str(next(self._contact_ids))
        item = ReceivedWorkItem(
            contact_id=contact_id,
            point_of_contact=fields["pointOfContact"],
            work_item_id=fields["workItemId"],
            payload=payload[:MAX_PAYLOAD_BYTES].decode(errors="ignore"),
            type=fields["workItemType"],
            sender=fields["from"],
            screen_pop=f"{request.base_url}screen-pop/{contact_id}",
        )
        # CXone does not check whether it already has a work item with this workItemId.
        self.work_items.append(item)
        self.routing.arrive(item)
        await self._sessions.changed()
        if self.empty_answers:
            return Response(status_code=202)
        if "application/json" not in request.headers.get("accept", ""):
            return PlainTextResponse(NOT_JSON_TEXT, 202)
        return JSONResponse({"contactId": int(contact_id)}, 202)

    def _screen_pop(self, contact_id: str) -> Response:
        contact = self.routing.contacts.get(contact_id)
        if contact is None:
            return PlainTextResponse("There is no such contact", 404)
        markup = self._html_of(contact.item.work_item_id) if self._html_of is not None else None
        return HTMLResponse(screen_pop(contact.item, markup), headers=dict(HEADERS))

    def _authorization_error(self, request: Request, scope: str) -> Response | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        scopes = self.issuer.scopes(token) if scheme.lower() == "bearer" else None
        if scopes is None:
            return error_response(401, "The token is invalid or has expired")
        return None if scope in scopes else error_response(403, f"The token has no scope {scope}")


class _AnyCase:
    """An app whose API paths are case-insensitive, like CXone's."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].lower().startswith("/incontact"):
            scope = {**scope, "path": scope["path"].lower()}
        await self._app(scope, receive, send)


def _fields(query: Mapping[str, str], body: bytes) -> dict[str, str] | None:
    """Return the fields of a work item, or None if the request is not valid.

    CXone documents these fields as query parameters, but also accepts them in the body.
    """
    try:
        given = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        return None
    given |= query
    work_item_id = given.get("workItemId", given.get("workItemID", ""))
    return {name: given.get(name, "") for name in FIELDS} | {"workItemId": work_item_id}


def create_fake_cxone(
    *,
    points: Sequence[PointOfContact] = (PointOfContact("mail"),),
    credentials: FakeCXoneCredentials | None = None,
    html_of: Callable[[str], str | None] | None = None,
    token_seconds: float = 3600,
) -> FakeCXone:
    """Create a fake CXone.

    ``html_of`` takes the id of a work item and returns the HTML of its email, or None if
    there is no HTML. The screen pop shows this HTML.

    >>> fake = create_fake_cxone()
    >>> with Serving(fake.app) as serving, CXoneClient(fake.settings(serving.url)) as cxone:
    ...     cxone.post_work_item(work_item_id="gmail:1", payload="Hi", sender="joe@example.com")
    '412345678900000001'
    """
    return FakeCXone(points, credentials or FakeCXoneCredentials(), html_of, token_seconds)
