"""The account service over HTTP: the original's four routes, and more."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import quote

import pymongo.errors
from fastapi import FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from eventlab.accounts.account import UnknownAccount
from eventlab.accounts.http import listing
from eventlab.accounts.http.admission import Admission
from eventlab.accounts.http.correlation import Correlation, meta_of
from eventlab.accounts.http.docs import documented_app
from eventlab.accounts.http.etag import is_known, wanted
from eventlab.accounts.http.monitoring import Monitoring
from eventlab.accounts.http.openapi import (
    ETAG,
    ID_SCHEMA,
    IF_MATCH,
    IF_NONE_MATCH,
    describe,
    request_body,
    responses,
)
from eventlab.accounts.http.probes import Probes
from eventlab.accounts.http.responses import answer, answer_errors, unchanged
from eventlab.accounts.http.schemas import (
    Accounts,
    Events,
    Money,
    Moved,
    NewAccount,
    NewTransfer,
    Opened,
    Transferred,
    parsed,
    printable,
    received,
    stored,
    usable,
    whole,
)
from eventlab.accounts.http.threads import ServerThreads
from eventlab.accounts.service import AccountService, Balance
from eventlab.events import Recorded

MAX_BODY_BYTES: Final = 65_536
MAX_PAGE: Final = 1000
LISTING_THREADS: Final = 8

#: A comma outside a quoted string separates two values, because a proxy has joined two headers.
KEY_PATTERN: Final = r'^([!-+\--~]+|"([!#-\[\]-~]|\\["\\])+")$'

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
AccountId = Annotated[str, Path(description="The account's id", json_schema_extra=ID_SCHEMA)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY_PATTERN,
        max_length=255,
        description="Use a new key for each new request. For a day, a repeat with the same key "
        "gets the first response, even a rejection, and changes nothing; to try again, use a new "
        "key.",
    ),
]
Version = Annotated[
    int | None, Query(ge=1, le=2**53, description="Return the account at this version")
]
At = Annotated[
    str | None,
    Query(
        description="Return the account as it was at this time: ISO 8601 with a time zone, such as "
        "2026-01-01T00:00:00Z",
        json_schema_extra={"format": "date-time"},
    ),
]
After = Annotated[int, Query(ge=0, le=2**53, description="Return the events after this version")]
Limit = Annotated[
    int, Query(ge=1, le=MAX_PAGE, description="The maximum number of items on a page")
]
Sort = Annotated[listing.Sort, Query(description="The order of the accounts; - means descending")]
Place = Annotated[
    str | None,
    Query(min_length=1, description="The `next` value of the previous page; use the same `sort`"),
]


def create_app(
    service: AccountService,
    view: listing.Documents | None = None,
    *,
    max_body: int = MAX_BODY_BYTES,
    hosts: Collection[str] | None = None,
    lifespan: Lifespan | None = None,
    monitoring: Monitoring | None = None,
) -> FastAPI:
    """Return the app that serves the commands of a service and the accounts in ``view``.

    Without a view, there is no ``GET /accounts``. The app responds with 413 to a body of more than
    ``max_body`` bytes, and with 400 to a request whose ``Host`` is not one of ``hosts`` (default:
    all hosts are served). ``lifespan`` is FastAPI's argument; it runs when the app starts and
    stops. With ``monitoring``, the app also has the routes for monitoring, and it counts outages
    and conflicts.
    """
    app = documented_app(
        title="eventlab accounts",
        version="1.0.0",
        description="Accounts whose state is stored as events. Amounts are integers, in the "
        "currency's smallest unit.",
        lifespan=lifespan,
    )
    app.state.max_body = max_body
    app.add_middleware(Admission, hosts=hosts)
    app.add_middleware(Correlation)  # outermost: the last one added runs first
    answer_errors(app, service.accounts.store.redis)
    _write_routes(app, Commands(service))
    _read_routes(app, Queries(service))
    if view is not None:
        _view_routes(app, Listing(view))
    Probes(service, view).add_to(app)
    if monitoring is not None:
        monitoring.add_to(app, service)
    describe(app)
    return app


class Commands:
    """The routes that change an account.

    Each route reads the request's body, then does its work in a thread. The body is not a FastAPI
    dependency, because resolving a dependency takes longer than reading the body.
    """

    def __init__(self, service: AccountService) -> None:
        self._service = service
        self._idempotency = service.accounts.store.idempotency

    async def create(self, request: Request, key: Key = None) -> Response:
        """Open an account"""
        return await run_in_threadpool(self._create, request, await received(request), key)

    async def deposit(self, request: Request, id: AccountId, key: Key = None) -> Response:
        """Deposit money"""
        body = await received(request)
        return await run_in_threadpool(self._move, self._service.deposit, request, id, body, key)

    async def withdraw(self, request: Request, id: AccountId, key: Key = None) -> Response:
        """Withdraw money"""
        body = await received(request)
        return await run_in_threadpool(self._move, self._service.withdraw, request, id, body, key)

    async def transfer(self, request: Request, key: Key = None) -> Response:
        """Move money from one account to another: both events are stored, or neither"""
        return await run_in_threadpool(self._transfer, request, await received(request), key)

    def _create(self, request: Request, body: bytes, key: str | None) -> Response:
        id = printable(usable(parsed(body, NewAccount).id))
        self._claim(key, id, "create")
        event = self._service.create(id, idempotency_key=key, meta=meta_of(request))
        root = request.scope.get("root_path", "")
        place = {"Location": f"{root}/accounts/{quote(id, safe='')}"}
        return answer(201, Opened(id), version=event.version, headers=place)

    def _move(
        self,
        command: Callable[..., Recorded],
        request: Request,
        id: str,
        body: bytes,
        key: str | None,
    ) -> Response:
        amount = whole(parsed(body, Money).amount)
        versions = wanted(request.headers.getlist("If-Match"))
        self._claim(key, usable(id), f"{command.__name__} {amount}")
        event = command(id, amount, versions=versions, idempotency_key=key, meta=meta_of(request))
        return answer(200, Moved(id, event.data["amount"]), version=event.version)

    def _transfer(self, request: Request, body: bytes, key: str | None) -> Response:
        asked = parsed(body, NewTransfer)
        amount = whole(asked.amount)
        self._claim(key, asked.from_, f"transfer {amount} to {asked.to}")
        done = self._service.transfer(
            asked.from_, asked.to, amount, idempotency_key=key, meta=meta_of(request)
        )
        moved = done.deposit.data["amount"]
        return answer(200, Transferred(asked.from_, asked.to, moved, done.id))

    def _claim(self, key: str | None, id: str, command: str) -> None:
        if key is not None:
            self._idempotency.claim(key, id, command)


class Queries:
    """The routes that read an account from its events."""

    def __init__(self, service: AccountService) -> None:
        self._service = service

    def fetch(
        self, request: Request, id: AccountId, version: Version = None, at: At = None
    ) -> Response:
        """Read an account: now, at a version, or at a time"""
        if version is not None and at is not None:
            raise HTTPException(400, "version, at: pass only one of the two")
        balance = self._service.fetch(
            usable(id), version=version, at=None if at is None else _moment(at)
        )
        if version is not None and balance.version < version:
            raise HTTPException(
                404,
                f"version: account {id!r} is at version {balance.version};"
                f" version {version} does not exist yet",
            )
        if is_known(balance.version, request.headers.getlist("If-None-Match")):
            return unchanged(balance.version)
        return answer(200, balance, version=balance.version)

    def events(self, id: AccountId, after: After = 0, limit: Limit = 100) -> Response:
        """List the events of an account, oldest first"""
        store = self._service.accounts.store
        found = store.read(usable(id), after=after, limit=limit + 1)
        if not found and not store.version(id):
            raise UnknownAccount(id)
        page = found[:limit]
        return answer(
            200,
            Events(id, [stored(one) for one in page], page[-1].version if found[limit:] else None),
        )


class Listing:
    """The route that reads the view, which may briefly lag behind the events."""

    def __init__(self, view: listing.Documents) -> None:
        self._view = view
        self._threads = ServerThreads(
            "MongoDB", pymongo.errors.NetworkTimeout, threads=LISTING_THREADS
        )

    async def accounts(
        self, sort: Sort = "id", after: Place = None, limit: Limit = 100
    ) -> Response:
        """List all accounts, sorted, from the view"""
        page = functools.partial(listing.page, self._view, sort=sort, after=after, limit=limit)
        return answer(200, await self._threads.run(page))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise HTTPException(400, f"at: {error}; in a URL, + must be written as %2B") from error
    if moment.tzinfo is None:
        raise HTTPException(400, "at: the time zone is missing: add Z, as in 2026-01-01T00:00:00Z")
    return moment


def _write_routes(app: FastAPI, commands: Commands) -> None:
    place = {"description": "The path of the account", "schema": {"type": "string"}}
    app.post(
        "/accounts",
        status_code=201,
        response_class=Response,
        responses=responses(201, Opened, 400, 408, 409, 413, 422, ETag=ETAG, Location=place),
        openapi_extra=request_body(NewAccount),
    )(commands.create)
    for name, command in {"deposits": commands.deposit, "withdrawals": commands.withdraw}.items():
        app.post(
            f"/accounts/{{id}}/{name}",
            response_class=Response,
            responses=responses(200, Moved, 400, 404, 408, 409, 412, 413, 422, ETag=ETAG),
            openapi_extra=request_body(Money, IF_MATCH),
        )(command)

    app.post(
        "/transfers",
        response_class=Response,
        responses=responses(200, Transferred, 400, 404, 408, 409, 413, 422),
        openapi_extra=request_body(NewTransfer),
    )(commands.transfer)


def _read_routes(app: FastAPI, queries: Queries) -> None:
    account = responses(200, Balance, 400, 404, ETag=ETAG)
    account[304] = {"description": "The account is at one of the versions in If-None-Match"}
    app.get(
        "/accounts/{id}",
        response_class=Response,
        responses=account,
        openapi_extra={"parameters": [IF_NONE_MATCH]},
    )(queries.fetch)
    events = responses(200, Events, 400, 404)
    app.get("/accounts/{id}/events", response_class=Response, responses=events)(queries.events)


def _view_routes(app: FastAPI, all: Listing) -> None:
    app.get("/accounts", response_class=Response, responses=responses(200, Accounts, 400))(
        all.accounts
    )
