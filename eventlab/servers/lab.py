"""The Lab, which holds connections to Redis and MongoDB."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymongo
import redis
from pymongo.database import Database

from eventlab.servers import (
    directories,
    external,
    healing,
    health,
    lease,
    patience,
    replica_set,
    starter,
)
from eventlab.servers.config import MONGOD, REDIS

DATABASE = "eventlab"
CLOSE_TIMEOUT_SECONDS = 1.0
SELECTION_TIMEOUT_MS = 5000  # a killed private server is running again within this time


class Lab:
    """Connections to a Redis and a MongoDB, as returned by ``connect()``.

    ``redis`` is a ``redis.Redis`` that decodes replies to text. ``mongo`` is the MongoDB database
    ``eventlab``, or the database that ``EVENTLAB_MONGODB_URL`` names. Private servers run until the
    last process that has a Lab closes it or exits. A private server that dies is restarted.

    >>> lab.redis.ping()
    True
    """

    def __init__(
        self,
        redis: redis.Redis,
        mongo: Database[dict[str, Any]],
        *,
        sockets: Mapping[str, str],
        data: Path | None,
    ) -> None:
        self.redis = redis
        self.mongo = mongo
        self._sockets = sockets
        self._closing = contextlib.ExitStack()
        if data is not None:
            self._closing.callback(lease.give_back, data)
        self._closing.callback(_close_client, mongo.client)
        self._closing.callback(redis.close)

    def close(self) -> None:
        """Close the connections; the private servers stop soon after the last Lab is closed.

        A second call does nothing.
        """
        self._closing.close()

    def __enter__(self) -> Self:
        """Return the Lab, which is closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the Lab."""
        self.close()

    def __repr__(self) -> str:
        """Describe the servers in words that are the same on every machine."""
        return "Lab(" + ", ".join(f"{name}: {text}" for name, text in self._parts()) + ")"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in self._parts()
        )
        return f"<table>{rows}</table>"

    def _parts(self) -> list[tuple[str, str]]:
        return [
            ("Redis", self._condition(REDIS, "private")),
            ("MongoDB", self._condition(MONGOD, "private, a replica set of one")),
        ]

    def _condition(self, name: str, kind: str) -> str:
        if name not in self._sockets:
            return "your own"
        return (
            f"running ({kind})"
            if health.listens(self._sockets[name])
            else "stopped: call connect() again"
        )


def connect(data: Path | str | None = None, *, timeout: float | None = None) -> Lab:
    """Connect to Redis and MongoDB, and start private servers if necessary.

    To use your own servers, set ``EVENTLAB_REDIS_URL`` and ``EVENTLAB_MONGODB_URL``. Private
    servers keep their data in ``data``, else in ``EVENTLAB_DATA``, else in your user data
    directory. All processes that use the same directory share the servers. A private server that
    dies is restarted.

    With ``timeout``, a call to a server that is down or hangs fails within about that many seconds,
    and ``connect`` does not check that your own MongoDB server responds. By default, the drivers
    retry for longer.

    Raises a subclass of ServersError: BinaryMissing or BinaryUnusable if a program has to be
    installed, DirectoryRefused if a directory cannot be used, ServerUnreachable if your own server
    does not respond or cannot be used, and ServersFailed if the private servers do not start.

    >>> connect()
    Lab(Redis: running (private), MongoDB: running (private, a replica set of one))
    """
    urls = {REDIS: os.environ.get(external.REDIS_URL), MONGOD: os.environ.get(external.MONGODB_URL)}
    wanted = {name for name, url in urls.items() if not url}
    with contextlib.ExitStack() as undo:
        directory = None
        sockets: dict[str, str] = {}
        if wanted:
            directory = directories.data_directory(data)
            directories.prepare_data(directory)
            running = starter.ensure(directory, wanted).sockets  # may include unwanted servers
            undo.callback(lease.give_back, directory)
            healing.begin(directory, running)
            sockets = {name: path for name, path in running.items() if name in wanted}
        client = _redis(urls[REDIS], sockets)
        undo.callback(client.close)
        if timeout is not None:
            patience.limit_redis(client, timeout)
        options = {} if timeout is None else patience.mongodb_options(timeout)
        mongo = _mongodb(urls[MONGOD], sockets, options, examine=timeout is None)
        undo.pop_all()
    return Lab(client, mongo, sockets=sockets, data=directory)


def _close_client(client: replica_set.Client) -> None:
    # Closing ends the sessions on the server, and would wait if the server were down.
    with pymongo.timeout(CLOSE_TIMEOUT_SECONDS):
        client.close()


def _redis(url: str | None, sockets: dict[str, str]) -> redis.Redis:
    if url:
        return external.redis_at(url)
    return redis.Redis(unix_socket_path=sockets[REDIS], **external.CLIENT_OPTIONS)


def _mongodb(
    url: str | None, sockets: dict[str, str], options: Mapping[str, Any], *, examine: bool
) -> Database[dict[str, Any]]:
    if url:
        return external.mongodb_at(url, examine=examine, **options).get_default_database(DATABASE)
    url = replica_set.socket_url(sockets[MONGOD])
    selection = {"serverSelectionTimeoutMS": SELECTION_TIMEOUT_MS}
    client: replica_set.Client = pymongo.MongoClient(url, **(selection | dict(options)))
    return client[DATABASE]
