"""The server behind ``eventlab serve``, which runs the app in one or several processes."""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Collection
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from eventlab import settings
from eventlab.accounts.http.app import create_app
from eventlab.accounts.http.listener import LOOPBACK, is_loopback, listen
from eventlab.accounts.http.monitoring import Monitoring
from eventlab.accounts.http.protocol import Connection, raise_file_limit
from eventlab.accounts.names import CATEGORY, COLLECTION
from eventlab.accounts.service import AccountService
from eventlab.observe.lag import MaxLag, ViewState, view_states, views_of
from eventlab.observe.metrics import SHARED_COUNTERS, Metrics, category_metrics, view_metrics
from eventlab.servers import Lab, connect
from eventlab.servers.errors import ServersError
from eventlab.slices.store import open_store
from eventlab.store.store import EventStore

IDLE_SECONDS: Final = 60
SHUTDOWN_SECONDS: Final = 30  # for requests that are still running
RETRY_SECONDS: Final = 1.0
SERVER_SECONDS: Final = 2.0  # for a call to Redis or MongoDB

log = logging.getLogger("uvicorn.error")  # uvicorn configures it


def serve(
    *,
    host: str,
    port: int,
    workers: int,
    category: str,
    collection: str,
    allowed_hosts: Collection[str] = (),
    root_path: str = "",
    max_lag: MaxLag | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then finish the requests that are still running.

    On loopback, or if there are ``allowed_hosts``, the service accepts only requests whose ``Host``
    is a loopback name, ``host`` or one of ``allowed_hosts``. Otherwise, a web page could reach a
    local service through a host name that points to this machine. ``root_path`` is the path
    under which a proxy offers the service. ``GET /healthz/views`` fails if a view lags
    by more than ``max_lag``.

    Raises ServersError, InvalidName or CannotListen.
    """
    os.environ[settings.CATEGORY] = category  # the workers read both variables
    os.environ[settings.COLLECTION] = collection
    hangups = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGTERM, _end)
    if hangups is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, _hang_up)
    raise_file_limit()
    listeners = listen(host, port)
    local = is_loopback(listeners)
    hosts = {*allowed_hosts, *LOOPBACK, host} if local or allowed_hosts else None
    # This connection keeps the private servers up while a crashed worker is replaced.
    with connect() as lab:
        EventStore(lab.redis, category)
        config = uvicorn.Config(
            functools.partial(app, hosts, max_lag),
            factory=True,
            http=Connection,
            ws="none",
            host=host,
            port=port,
            workers=workers,
            root_path=root_path,
            access_log=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            timeout_worker_healthcheck=SHUTDOWN_SECONDS,
        )
        if not local:
            log.warning(
                "other machines can connect to %r: the service has no login, no TLS and no rate"
                " limit; put it behind a proxy that provides them",
                host,
            )
        for listener in listeners:
            log.info("Uvicorn running on http://%s", _address(*listener.getsockname()[:2]))
        if workers == 1:
            with contextlib.suppress(KeyboardInterrupt):  # raised again after the shutdown
                uvicorn.Server(config).run(listeners)
        else:
            with tempfile.TemporaryDirectory(prefix="eventlab-metrics-") as directory:
                os.environ[SHARED_COUNTERS] = directory  # workers read the variable when they start
                _run_workers(config, listeners, hangups)


def app(hosts: Collection[str] | None = None, max_lag: MaxLag | None = None) -> FastAPI:
    """Return the app of one worker, with its own connections. uvicorn calls this function.

    The app serves only requests whose ``Host`` is in ``hosts`` (None: any). ``GET /healthz/views``
    fails if a view lags by more than ``max_lag``.
    """
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    lab = _connect()
    store = open_store(lab.redis, os.environ.get(settings.CATEGORY, CATEGORY))

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        lab.close()

    view = lab.mongo[os.environ.get(settings.COLLECTION, COLLECTION)]

    def states() -> list[ViewState]:
        return view_states(views_of(store, lab.mongo))

    metrics = Metrics(category_metrics(store), view_metrics(states))
    return create_app(
        AccountService(store),
        view,
        hosts=hosts,
        lifespan=lifespan,
        monitoring=Monitoring(metrics, states, max_lag),
    )


def _connect() -> Lab:
    """Connect as soon as Redis responds, because it may be down when a worker starts."""
    while True:
        try:
            return connect(timeout=SERVER_SECONDS)
        except ServersError as error:
            log.warning("this worker is waiting for Redis and MongoDB: %s", error)
            time.sleep(RETRY_SECONDS)


class Workers(Multiprocess):
    """uvicorn's worker processes, which also end when the terminal is closed."""

    def handle_hup(self) -> None:
        """Stop the workers on SIGHUP rather than restart them."""
        self.handle_term()


def _run_workers(config: uvicorn.Config, listeners: list[Any], hangups: Any) -> None:
    # Otherwise, a worker would import modules from the working directory before ours.
    os.environ["PYTHONSAFEPATH"] = "1"
    _keep_interrupts_from_workers()
    workers = Workers(config, listeners)
    if hangups is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    workers.run()


def _end_with(sentinel: int) -> None:
    """End this worker when its parent has ended, because no other process would end it."""
    multiprocessing.connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _keep_interrupts_from_workers() -> None:
    """Let Ctrl-C reach only this process, which then stops the workers with SIGTERM.

    A terminal sends SIGINT to all processes, and a worker that is still starting would print a
    traceback. Workers inherit the blocked signals from this thread. Another thread receives these
    signals for this process.
    """

    def receive() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FROM_TERMINAL)
        threading.Event().wait()

    threading.Thread(target=receive, name="interrupts", daemon=True).start()
    resource_tracker.ensure_running()  # the first worker would start it, which unblocks SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_TERMINAL)


_FROM_TERMINAL: Final = {signal.SIGINT, signal.SIGHUP}


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _hang_up(_signal: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)  # uvicorn raises the signal again after it has shut down
