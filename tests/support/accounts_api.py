"""Run the account service as ``eventlab serve`` does, and talk to it over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
import requests
import uvicorn

from eventlab import EventStore
from eventlab.accounts.http.protocol import Connection
from eventlab.lessons.ports import free_port
from eventlab.servers import Lab
from tests.support import patient_eventlab
from tests.support.waiting import PATIENCE_SECONDS, wait_until

CALL_SECONDS = 30.0  # for a call to Redis or MongoDB, since any process may stall for a while
JSON = {"Content-Type": "application/json"}


@dataclass
class Served:
    """A running ``eventlab serve``."""

    process: subprocess.Popen[bytes]
    port: int
    store: EventStore
    view: Any
    output: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: object, **headers: str) -> requests.Response:
        """Send one POST on its own connection."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(self.url + path, json=body, headers=named, timeout=PATIENCE_SECONDS)

    def get(self, path: str, **headers: str) -> requests.Response:
        """Send one GET on its own connection."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(self.url + path, headers=named, timeout=PATIENCE_SECONDS)

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Send a path and a body that no client library has changed."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        ) as connection:
            connection.request(method, path, body, JSON | headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def opened(self, funds: int = 0) -> str:
        """Open an account that holds ``funds``; return its id."""
        id = f"a-{uuid.uuid4().hex}"
        assert self.post("/accounts", {"id": id}).status_code == 201
        if funds:
            assert self.post(f"/accounts/{id}/deposits", {"amount": funds}).status_code == 200
        return id


def start(
    *options: str,
    environment: Mapping[str, str] | None = None,
    call_seconds: float = CALL_SECONDS,
) -> subprocess.Popen[bytes]:
    """Start ``eventlab serve``, where a call to Redis or MongoDB may take ``call_seconds``."""
    limit = {patient_eventlab.VARIABLE: str(call_seconds)}
    return subprocess.Popen(
        [sys.executable, "-m", patient_eventlab.__name__, "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | limit | dict(environment or {}),
    )


@contextlib.contextmanager
def serving(
    lab: Lab,
    category: str,
    *options: str,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
    call_seconds: float = CALL_SECONDS,
) -> Iterator[Served]:
    """Run ``eventlab serve`` on a category and a collection of the same name.

    ``environment`` is added to the one of this process, such as the URL of other servers.
    """
    port = free_port()
    words = [f"--port={port}", f"--workers={workers}"]
    words += [f"--category={category}", f"--collection={category}", *options]
    process = start(*words, environment=environment, call_seconds=call_seconds)
    served = Served(process, port, EventStore(lab.redis, category), lab.mongo[category])
    reader = threading.Thread(target=_drain, args=(process, served.output))
    reader.start()
    try:
        await_ready(served)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
            reader.join()


def _drain(process: subprocess.Popen[bytes], output: list[str]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            output.append(line.decode())
            sys.stdout.write(output[-1])  # pytest shows it when a test fails


def await_ready(served: Served) -> None:
    """Wait until the service is ready."""

    def is_ready() -> bool:
        assert served.process.poll() is None, "the server has ended"
        with contextlib.suppress(requests.ConnectionError):
            return served.get("/readyz").ok
        return False

    wait_until(is_ready)


@contextlib.contextmanager
def in_a_thread(app: Any) -> Iterator[str]:
    """Serve an app on a real socket, with the service's own connections; yield its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", http=Connection))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def exchange(url: str, *parts: bytes) -> bytes:
    """Send bytes on one connection as they are; return what came back when the server closed it."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        for part in parts:
            client.sendall(part)
        received = b""
        while data := client.recv(65_536):
            received += data
    return received


def everything(store: EventStore) -> dict[object, object]:
    """Return all keys of Redis with their bytes, except idempotency records, which expire."""
    keys = [
        key
        for key in store.redis.scan_iter(count=1000)
        if "/claim:" not in key and "/once:" not in key
    ]
    with redis.Redis(connection_pool=redis.ConnectionPool(**raw_connection(store))) as client:
        return {key: client.dump(key) for key in keys}


def raw_connection(store: EventStore) -> dict[str, Any]:
    """Return how to connect to the same Redis without decoding."""
    kwargs = dict(store.redis.connection_pool.connection_kwargs)
    return {
        "connection_class": redis.UnixDomainSocketConnection,
        "path": kwargs["path"],
    }


def message(response: requests.Response) -> str:
    """Return the sentence of an error response, whose body holds nothing else."""
    body = response.json()
    assert body.keys() - {"version"} == {"errorMessage"}
    return str(body["errorMessage"])
