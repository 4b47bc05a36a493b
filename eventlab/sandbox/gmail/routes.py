"""Gmail's routes for messages, labels and history, with an in-memory mailbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from eventlab.sandbox.gmail.error import GoogleError
from eventlab.sandbox.gmail.mailbox import FakeMailbox, MailboxChange, StoredMail
from eventlab.sandbox.gmail.oauth import MODIFY, READONLY, FakeGmailTokens
from eventlab.sandbox.gmail.resource import attachment, cut, resource

ME: Final = "/gmail/v1/users/me"
DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 500
MAX_MODIFIED_IDS: Final = 1000
RECORD_FIELDS: Final = {
    "messageAdded": "messagesAdded",
    "messageDeleted": "messagesDeleted",
    "labelAdded": "labelsAdded",
    "labelRemoved": "labelsRemoved",
}


def add_routes(app: FastAPI, routes: GmailRoutes) -> None:
    """Add the API's routes to an app."""
    gets: dict[str, Callable[..., Any]] = {
        "profile": routes.profile,
        "labels": routes.labels,
        "messages": routes.messages,
        "messages/{id}": routes.message,
        "messages/{id}/attachments/{attachment_id}": routes.attachment,
        "history": routes.history,
    }
    for path, get in gets.items():
        app.get(f"{ME}/{path}", response_class=JSONResponse, response_model=None)(get)
    posts: dict[str, Callable[..., Any]] = {
        "labels": routes.create_label,
        "messages/batchModify": routes.batch_modify,
        "messages/{id}/modify": routes.modify,
    }
    for path, post in posts.items():
        app.post(f"{ME}/{path}", response_class=JSONResponse, response_model=None)(post)


class GmailRoutes:
    """The routes of the API, each of which first checks the token."""

    def __init__(self, mailbox: FakeMailbox, tokens: FakeGmailTokens) -> None:
        self._mailbox = mailbox
        self._tokens = tokens
        self.seen: list[str] = []

    def profile(self, request: Request) -> Any:
        """Serve users.getProfile."""
        self.allow(request)
        return self._mailbox.profile()

    def labels(self, request: Request) -> Any:
        """Serve users.labels.list."""
        self.allow(request)
        return {"labels": self._mailbox.labels()}

    async def create_label(self, request: Request) -> Any:
        """Serve users.labels.create."""
        self.allow(request, modify=True)
        return self._mailbox.create_label(str((await _body(request)).get("name", "")))

    def messages(self, request: Request) -> Any:
        """Serve users.messages.list."""
        self.allow(request)
        query = request.query_params
        mails = self._mailbox.find(query.getlist("labelIds"), **_search(query.get("q")))
        after = query.get("pageToken")
        if after is not None:
            mails = [mail for mail in mails if (mail.internal_date_ms, mail.id) < _place(after)]
        page = mails[: _page_size(request)]
        answer: dict[str, Any] = {"resultSizeEstimate": len(mails)}
        if page:  # like Gmail, omit the field if there are no messages
            answer["messages"] = [_short(mail) for mail in page]
        if len(mails) > len(page):
            answer["nextPageToken"] = f"{page[-1].internal_date_ms}.{page[-1].id}"
        return cut(answer, query.get("fields"))

    def message(self, request: Request, id: str) -> Any:
        """Serve users.messages.get."""
        self.allow(request)
        query = request.query_params
        shown = resource(
            self._mailbox.get(id), query.get("format", "full"), query.getlist("metadataHeaders")
        )
        return cut(shown, query.get("fields"))

    def attachment(self, request: Request, id: str, attachment_id: str) -> Any:
        """Serve users.messages.attachments.get."""
        self.allow(request)
        return attachment(self._mailbox.get(id), attachment_id)

    async def modify(self, request: Request, id: str) -> Any:
        """Serve users.messages.modify."""
        self.allow(request, modify=True)
        body = await _body(request)
        [mail] = self._mailbox.modify(
            [id], body.get("addLabelIds", ()), body.get("removeLabelIds", ())
        )
        return {**_short(mail), "labelIds": list(mail.label_ids)}

    async def batch_modify(self, request: Request) -> Response:
        """Serve users.messages.batchModify."""
        self.allow(request, modify=True)
        body = await _body(request)
        ids = body.get("ids", [])
        if not ids or len(ids) > MAX_MODIFIED_IDS:
            raise GoogleError(400, message="Invalid ids")
        with self._mailbox.lock:
            there = [id for id in ids if id in {mail.id for mail in self._mailbox.find()}]
            self._mailbox.modify(there, body.get("addLabelIds", ()), body.get("removeLabelIds", ()))
        return Response(status_code=204)

    def history(self, request: Request) -> Any:
        """Serve users.history.list."""
        self.allow(request)
        query = request.query_params
        since = query.get("startHistoryId", "")
        if not since.isdecimal():
            raise GoogleError(400, message="Invalid startHistoryId")
        after = query.get("pageToken")
        with self._mailbox.lock:
            newest = self._mailbox.profile()["historyId"]
            changes = self._mailbox.history(
                int(since), query.getlist("historyTypes"), query.get("labelId")
            )
        if after is not None:
            changes = [change for change in changes if change.history_id > int(after)]
        page = changes[: _page_size(request)]
        answer: dict[str, Any] = {"historyId": newest}
        if page:
            answer["history"] = [_record(change) for change in page]
        if len(changes) > len(page):
            answer["nextPageToken"] = str(page[-1].history_id)
        return cut(answer, query.get("fields"))

    def allow(self, request: Request, *, modify: bool = False) -> None:
        """Record a request in ``seen``, and check its token.

        Raises ``GoogleError`` 401 if the token is missing or expired, and 403 if the token's
        scope is too narrow.
        """
        query = f"?{request.url.query}" if request.url.query else ""
        self.seen.append(f"{request.method} {request.url.path}{query}")
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        scopes = self._tokens.scopes(token) if kind.lower() == "bearer" else None
        if scopes is None:
            raise GoogleError(401)
        if MODIFY not in scopes and (modify or READONLY not in scopes):
            raise GoogleError(403, "insufficientPermissions")


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        raise GoogleError(400, message="Invalid JSON payload received.") from None
    if not isinstance(body, dict):
        raise GoogleError(400, message="Invalid JSON payload received.")
    return body


def _search(query: str | None) -> dict[str, int]:
    """Parse the conditions of a search query.

    The fake Gmail supports only ``larger:N`` (bytes), ``after:N`` and ``before:N`` (seconds since
    1970).
    """
    found = dict[str, int]()
    for word in (query or "").split():
        name, _, value = word.partition(":")
        if name not in ("larger", "after", "before") or not value.isdecimal():
            raise GoogleError(
                400, message="The fake server supports only larger:N, after:N and before:N"
            )
        found[name] = int(value)
    return found


def _page_size(request: Request) -> int:
    asked = request.query_params.get("maxResults", str(DEFAULT_PAGE_SIZE))
    if not asked.isdecimal():
        raise GoogleError(400, message="Invalid maxResults")
    return min(int(asked), MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def _place(token: str) -> tuple[int, str]:
    """Parse a page token into the date and id of the previous page's last email.

    Because a token names an email, new emails do not shift the pages.
    """
    date_ms, _, id = token.partition(".")
    if not date_ms.isdecimal():
        raise GoogleError(400, message="Invalid pageToken")
    return int(date_ms), id


def _short(mail: StoredMail) -> dict[str, Any]:
    return {"id": mail.id, "threadId": mail.thread_id}


def _record(change: MailboxChange) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "message": {**_short(change.message), "labelIds": list(change.message.label_ids)}
    }
    if change.label_ids:
        shown["labelIds"] = list(change.label_ids)
    return {
        "id": str(change.history_id),
        "messages": [_short(change.message)],
        RECORD_FIELDS[change.kind]: [shown],
    }
