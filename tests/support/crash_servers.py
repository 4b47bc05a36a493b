"""Private servers of one test, to be killed and restarted: what they acknowledge is on disk."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis

from eventlab.servers import config
from eventlab.servers.binaries import find_mongod, find_redis
from eventlab.servers.replica_set import Client, initiate, is_primary, socket_url
from tests.support.waiting import wait_until

DOWN = (redis.ConnectionError, redis.TimeoutError)  # BusyLoadingError is a ConnectionError


def answers(client: redis.Redis) -> bool:
    with contextlib.suppress(*DOWN):
        return bool(client.ping())
    return False


class RedisServer:
    """A Redis that fsyncs before it acknowledges."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.socket = folder, str(folder / "redis.sock")
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        binary = find_redis()
        command = [
            str(binary.path),
            "--port",
            "0",
            "--unixsocket",
            self.socket,
            "--dir",
            str(self._folder),
        ]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen(
            command, env=os.environ | dict(binary.env), stdout=subprocess.DEVNULL
        )
        with self.client() as client:
            wait_until(lambda: answers(client))

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=self.socket)

    def restart(self) -> None:
        self.kill()
        self.start()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class MongoServer:
    """A mongod: a replica set of one or, without ``replica_set``, a standalone server."""

    def __init__(self, folder: Path, *, replica_set: bool = True) -> None:
        (folder / config.MONGOD).mkdir()
        self._server = config.mongod(find_mongod(folder), data=folder, runtime=folder)
        self._replica_set, self._argv = replica_set, list(self._server.argv)
        if not replica_set:
            at = self._argv.index("--replSet")
            del self._argv[at : at + 2]
        self.url = socket_url(self._server.socket).replace("/?", "/eventlab?")
        self.start()

    def start(self) -> None:
        env = os.environ | dict(self._server.env)
        self._process = subprocess.Popen(
            self._argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.make_ready()

    def make_ready(self) -> None:
        """Wait until the server takes commands and, as a replica set, is the primary."""
        with self.client(serverSelectionTimeoutMS=40_000) as client:
            if self._replica_set:
                initiate(client, self._server.socket)
                wait_until(lambda: is_primary(client))

    @property
    def pid(self) -> int:
        """The process id of the mongod."""
        return self._process.pid

    def client(self, **options: Any) -> Client:
        return pymongo.MongoClient(self.url, **options)

    def restart(self) -> None:
        self.kill()
        self.start()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[MongoServer]:
    server = MongoServer(tmp_path)
    yield server
    server.kill()
