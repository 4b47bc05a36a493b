"""The probes, which check whether the process is alive and whether its servers are available."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import pymongo.errors
import redis.exceptions
from fastapi import FastAPI, Query, Response

from eventlab.accounts.http.listing import Documents
from eventlab.accounts.http.openapi import responses
from eventlab.accounts.http.responses import answer
from eventlab.accounts.http.schemas import Health
from eventlab.accounts.http.threads import ServerThreads
from eventlab.accounts.service import AccountService

Exclude = Annotated[
    Literal["mongodb"] | None,
    Query(description="Do not check MongoDB: every route except `GET /accounts` works without it"),
]
THREADS: Final = 2


class Probes:
    """The routes that report the health of the service."""

    def __init__(self, service: AccountService, view: Documents | None) -> None:
        self._service = service
        self._view = view
        self._redis = ServerThreads("Redis", redis.exceptions.TimeoutError, threads=THREADS)
        self._mongodb = ServerThreads("MongoDB", pymongo.errors.NetworkTimeout, threads=THREADS)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        healthy = responses(200, Health)
        app.get("/healthz", response_class=Response, responses=healthy)(self.health)
        app.get("/readyz", response_class=Response, responses=healthy)(self.ready)

    async def health(self) -> Response:
        """Check that the process is alive"""
        return answer(200, Health())

    async def ready(self, exclude: Exclude = None) -> Response:
        """Check that a request would succeed: Redis accepts writes, and MongoDB can be read"""
        await self._redis.run(self._service.check)
        if exclude is None and self._view is not None:
            await self._mongodb.run(self._view.find_one)
        return answer(200, Health())
