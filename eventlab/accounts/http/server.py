"""The server behind ``eventlab serve``: the app in one or several processes, on one store."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from eventlab import settings
from eventlab.accounts.http.app import create_app
from eventlab.accounts.names import CATEGORY, COLLECTION
from eventlab.accounts.service import AccountService
from eventlab.servers import connect
from eventlab.store.store import EventStore

IDLE_SECONDS: Final = 60
SHUTDOWN_SECONDS: Final = 30  # for requests that are still running


def serve(*, host: str, port: int, workers: int, category: str, collection: str) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that are running.

    Raises ServersError, InvalidName.
    """
    os.environ[settings.CATEGORY] = category  # the workers read both
    os.environ[settings.COLLECTION] = collection
    signal.signal(signal.SIGTERM, _end)
    if workers > 1:
        _keep_interrupts_from_workers()
    # This connection keeps the private servers up while a crashed worker is replaced.
    with connect() as lab:
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
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            timeout_worker_healthcheck=SHUTDOWN_SECONDS,
        )


def app() -> FastAPI:
    """Return the app of one worker, with its own connections; uvicorn calls it."""
    lab = connect()
    store = EventStore(lab.redis, os.environ.get(settings.CATEGORY, CATEGORY))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        lab.close()

    view = lab.mongo[os.environ.get(settings.COLLECTION, COLLECTION)]
    return create_app(AccountService(store), view, lifespan=lifespan)


def _keep_interrupts_from_workers() -> None:
    """Let Ctrl-C reach this process only, which then stops the workers by SIGTERM.

    A terminal sends it to all of them, and a worker that is still starting would print a traceback.
    Workers inherit the blocked signal from this thread; another thread receives it for the process.
    """

    def receive() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        threading.Event().wait()

    threading.Thread(target=receive, name="interrupts", daemon=True).start()
    resource_tracker.ensure_running()  # it is started with the first worker, and unblocks SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)  # uvicorn raises the signal again after it has shut down
