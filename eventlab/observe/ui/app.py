"""The web app, with routes that only read, templates that escape everything, and strict headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import jinja2
import msgspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventlab.errors import EventLabError, InvalidArgument
from eventlab.observe.printing import data_text, printable, time_text
from eventlab.observe.ui.history import HEIGHT, WIDTH, LagHistory
from eventlab.observe.ui.source import PAGE, Source
from eventlab.store.answers import SERVER_ERRORS, is_outage, server
from eventlab.store.keys import checked_position
from eventlab.store.store import EventStore

MAX_CELL: Final = 300  # characters of data in a table
MAX_DATA: Final = 20_000  # characters of the data and the state that are shown in full
MAX_CURSOR: Final = 2**64
TYPES: Final = {"ui.css": "text/css", "ui.js": "text/javascript"}
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: The states of emails that are not finished, most urgent first.
OPEN_STATES: Final = ("held", "in_doubt", "refused", "submitting", "received")

Page = Callable[["Pages", Request], tuple[str, dict[str, Any]]]


class Pages:
    """The pages of the web app. Each method returns a template and its values."""

    def __init__(self, source: Source, history: LagHistory) -> None:
        self._source = source
        self._history = history

    def categories(self, _request: Request) -> tuple[str, dict[str, Any]]:
        """Show the categories."""
        return "categories.html", {"categories": self._source.categories()}

    def category(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Show the newest events of a category and a page of its aggregates."""
        store = self._store(request)
        before = _position(request, "before")
        entries = self._source.newest(store, before)
        cursor = _number(request, "cursor", MAX_CURSOR) or 0
        ids, following = self._source.ids(store, cursor)
        older = entries[-1].position if entries else None
        return "category.html", {
            "category": store.category,
            "entries": entries,
            "before": before,
            "older": older,
            "ids": ids,
            "cursor": cursor,
            "following": following,
        }

    def aggregate(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Show the events and the state of an aggregate at a version."""
        store = self._store(request)
        # A form cannot hold every character (NUL, for example), so its id is percent-encoded.
        id = unquote(request.query_params.get("quoted", "")) or request.query_params.get("id", "")
        moment = self._source.moment(store, id, _number(request, "version", 2**53))
        if moment is None:
            raise HTTPException(404, f"{id!r} has no events in category {store.category!r}")
        return "aggregate.html", {
            "category": store.category,
            "id": id,
            "quoted": quote(id, safe=""),
            "moment": moment,
            "page": PAGE,
        }

    def views(self, _request: Request) -> tuple[str, dict[str, Any]]:
        """Show the views and their lag over time."""
        return "views.html", {
            "views": self._history.views(),
            "problem": self._history.problem,
            "width": WIDTH,
            "height": HEIGHT,
        }

    def subscriptions(self, _request: Request) -> tuple[str, dict[str, Any]]:
        """Show the subscriptions."""
        return "subscriptions.html", {"subscriptions": self._source.subscriptions()}

    def subscription(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Show the pending and parked events of a subscription."""
        store = self._store(request)
        name = request.query_params.get("name", "")
        glance = self._source.subscription(store, name)
        if glance is None:
            raise HTTPException(404, f"category {store.category!r} has no subscription {name!r}")
        pending, after = self._source.pending(glance, _position(request, "after"))
        parked, following = glance.parked_page(_number(request, "cursor", MAX_CURSOR) or 0)
        return "subscription.html", {
            "category": store.category,
            "name": name,
            "state": glance.state(),
            "slices": len(store.all_slices()),
            "pending": pending,
            "after": after,
            "parked": parked,
            "following": following,
        }

    def mailroom(self, _request: Request) -> tuple[str, dict[str, Any]]:
        """Show how many emails are in each state, and list the unfinished ones."""
        rooms = [
            (
                room.category,
                counts := room.counts(),
                {state: room.mails(state) for state in OPEN_STATES if counts.get(state)},
            )
            for room in self._source.mailrooms
        ]
        return "mailroom.html", {"rooms": rooms}

    def _store(self, request: Request) -> EventStore:
        name = request.query_params.get("category", "")
        store = self._source.store(name)
        if store is None:
            raise HTTPException(
                404, f"category {name!r} is not shown: start eventlab ui with --category"
            )
        return store


PAGES: Final[Mapping[str, Page]] = {
    "/": Pages.categories,
    "/category": Pages.category,
    "/aggregate": Pages.aggregate,
    "/views": Pages.views,
    "/subscriptions": Pages.subscriptions,
    "/subscription": Pages.subscription,
    "/mailroom": Pages.mailroom,
}


def create_ui(source: Source, history: LagHistory) -> ASGIApp:
    """Return the ASGI app that serves the pages. No route of the app changes anything."""
    pages = Pages(source, history)
    templates = _templates()

    def render(name: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        return HTMLResponse(templates.get_template(name).render(values), status)

    def route(path: str, page: Page) -> Route:
        def show(request: Request) -> Response:
            try:
                name, values = page(pages, request)
            except EventLabError as error:
                return failed(400, str(error))
            except SERVER_ERRORS as error:
                if not is_outage(error):
                    raise
                return failed(503, f"{server(error)} is unavailable: reload the page later")
            return render(name, {"path": path, **values})

        return Route(path, show)

    def failed(status: int, reason: str) -> Response:
        return render("error.html", {"path": "", "status": status, "reason": reason}, status)

    def answer(_request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return failed(error.status_code, error.detail)
        return failed(500, "internal error: the cause is in the log of eventlab ui")

    app = Starlette(
        routes=[*(route(path, page) for path, page in PAGES.items()), _files()],
        exception_handlers={HTTPException: answer, Exception: answer},
    )
    return SecureHeaders(app)


class SecureHeaders:
    """ASGI middleware that adds headers against third-party scripts, cross-site use and caching."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, and add the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _files() -> Route:
    def read(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in TYPES:
            raise HTTPException(404, f"there is no file {name!r}")
        content = resources.files(__package__).joinpath("static", name).read_bytes()
        return Response(content, media_type=TYPES[name])

    return Route("/static/{name}", read)


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "printable": printable,
        "cell": lambda data: _cut(data_text(data), MAX_CELL),
        "full": _full,
        "line": lambda text: _cut(printable(text), MAX_CELL),
        "time": time_text,
        "number": lambda number: f"{number:,}",
    }
    environment.globals["url"] = _url
    return environment


def _full(data: object) -> str:
    text = msgspec.json.format(msgspec.json.encode(data, enc_hook=repr), indent=2).decode()
    return _cut("\n".join(map(printable, text.split("\n"))), MAX_DATA)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _url(path: str, **values: object) -> str:
    given = {name: value for name, value in values.items() if value is not None}
    return f"{path}?{urlencode(given)}"


def _position(request: Request, name: str) -> str | None:
    given = request.query_params.get(name)
    return None if given is None else checked_position(given)


def _number(request: Request, name: str, most: int) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 20 and int(given) < most):
        raise InvalidArgument(f"{name}={given!r} must be an integer of 0 or more")
    return int(given)
