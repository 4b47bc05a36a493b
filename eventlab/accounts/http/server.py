"""The server: the app in one process or several, on one store; what ``eventlab serve`` runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from eventlab import settings
from eventlab.accounts.http.app import create_app
from eventlab.accounts.service import AccountService
from eventlab.servers import connect
from eventlab.store.store import EventStore

CATEGORY: Final = settings.CATEGORY
COLLECTION: Final = settings.COLLECTION
IDLE_SECONDS: Final = 60
LAST_SECONDS: Final = 30  # for what still runs when the end comes


def serve(*, host: str, port: int, workers: int, category: str, collection: str) -> None:
    """Serve until a SIGTERM or SIGINT; what runs then is finished first. Raises ServersError, InvalidName.

    Example: ``serve(host="127.0.0.1", port=8444, workers=1, category="accountStream", collection="accountCollection")``
    """
    os.environ[CATEGORY], os.environ[COLLECTION] = (
        category,
        collection,
    )  # what a worker knows, it knows from here
    signal.signal(signal.SIGTERM, _end)
    with (
        connect() as lab
    ):  # the servers stay up between the death of a worker and the start of the next
        EventStore(lab.redis, category)
        uvicorn.run(
            f"{__name__}:app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=LAST_SECONDS,
            timeout_worker_healthcheck=LAST_SECONDS,
        )


def app() -> FastAPI:
    """The app of one worker, with connections of its own.

    Example: ``uvicorn --factory eventlab.accounts.http.server:app --port 8444``
    """
    lab = connect()
    store = EventStore(lab.redis, os.environ.get(CATEGORY, "accountStream"))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        lab.close()

    view = lab.mongo[os.environ.get(COLLECTION, "accountCollection")]
    return create_app(AccountService(store), view, lifespan=lifespan)


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)  # uvicorn raises the signal again when it has finished
