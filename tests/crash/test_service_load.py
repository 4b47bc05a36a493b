"""The service under two minutes of load while its servers fail: every balance is right."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest

from eventlab import Event, EventStore
from eventlab.lessons.ports import free_port
from eventlab.servers import external
from tests.support.crash_servers import MongoServer, RedisServer, mongod, redis_server
from tests.support.views import assert_views_are_exact, views_caught_up
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.workload import CATEGORY, Listener

pytestmark = pytest.mark.crash

__all__ = ["mongod", "redis_server"]  # fixtures

CONNECTIONS = 64
ACCOUNTS = 32
WARM_UP_SECONDS = 20
REDIS_STOPPED_SECONDS = 3
MONGODB_STOPPED_SECONDS = 40
LOAD_SECONDS = 120
PAUSE_SECONDS = 0.1  # between two requests of a client: leaves the processor to the others
SETTLED_SECONDS = 30  # at the end, with servers that work
MAX_GROWTH_BYTES = 40_000_000
MAX_MORE_FILES = 40

CREATE = Event("create")
DEPOSIT = "deposit"
ACCOUNT = "account"
ACCOUNT_LIST = "account list"
KINDS = [DEPOSIT] * 6 + [ACCOUNT] * 3 + [ACCOUNT_LIST]


class Client(threading.Thread):
    """Sends requests on a connection of its own; a deposit is repeated until it is answered."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.answers: Counter[tuple[str, int]] = Counter()
        self.deposited: Counter[str] = Counter()
        self.bad: list[str] = []
        self.unavailable: list[tuple[str, str]] = []  # kind and message of each 503
        self.lost: Counter[str] = Counter()
        self._number = number
        self.stopped = threading.Event()
        self._random = random.Random(number)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def run(self) -> None:
        """Send one request after the other until stopped."""
        number = 0
        while not self.stopped.is_set():
            number += 1
            kind = self._random.choice(KINDS)
            id = f"a{self._random.randrange(ACCOUNTS)}"
            if kind == DEPOSIT:
                self._deposit(id, f"{self._number}-{number}")
            else:
                self._send(kind, "GET", f"/accounts/{id}" if kind == ACCOUNT else "/accounts")
            time.sleep(PAUSE_SECONDS)
        self._connection.close()

    def _deposit(self, id: str, key: str) -> None:
        path = f"/accounts/{id}/deposits"
        while self._send(DEPOSIT, "POST", path, key) != 200:
            if self.bad:
                return
            time.sleep(0.05)
        self.deposited[id] += 1

    def _send(self, kind: str, method: str, path: str, key: str | None = None) -> int:
        body = json.dumps({"amount": 1}) if key else None
        headers = {"Content-Type": "application/json", "Idempotency-Key": key} if key else {}
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self.lost[type(error).__name__ + str(error)[:60]] += 1
            self._connection.close()
            self.answers[kind, 0] += 1
            return 0
        self.answers[kind, response.status] += 1
        again = response.status == 503 and response.headers["Retry-After"]
        if response.status not in (200, 409) and not again:
            self.bad.append(f"{kind}: {response.status} {text}")
        elif again:
            self.unavailable.append((kind, json.loads(text)["errorMessage"]))
        return response.status


@dataclass
class Load:
    """A running service and its clients."""

    service: Listener
    projector: Listener
    clients: list[Client]

    def deposits(self) -> list[int]:
        """Return how many deposits of each client have been answered with 200."""
        return [client.answers[DEPOSIT, 200] for client in self.clients]

    def wait_for_deposits(self) -> None:
        """Wait until a deposit of each client has been answered."""
        before = self.deposits()
        wait_until(lambda: all(new > old for old, new in zip(before, self.deposits(), strict=True)))

    def end(self) -> None:
        """Let each client finish its request."""
        for client in self.clients:
            client.stopped.set()
        for client in self.clients:
            client.join(PATIENCE_SECONDS)
            assert not client.is_alive()

    def answers(self) -> Counter[tuple[str, int]]:
        """Return how many requests of each kind were answered with each code; 0: not at all."""
        # Copies, because the clients continue to count.
        return sum((client.answers.copy() for client in self.clients), Counter())


def workers(service: Listener) -> list[psutil.Process]:
    """Return the worker processes of the service."""
    found = []
    for child in psutil.Process(service.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one too
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.fixture
def load(redis_server: RedisServer, mongod: MongoServer) -> Iterator[Load]:
    env = {external.REDIS_URL: redis_server.url, external.MONGODB_URL: mongod.url}
    port = free_port()
    service = Listener(env, "serve", "--port", str(port), "--workers", "2")
    projector = Listener(env, "project")
    clients = [Client(number, port) for number in range(CONNECTIONS)]
    with redis_server.client() as redis:
        store = EventStore(redis, CATEGORY)
        for number in range(ACCOUNTS):
            store.append(f"a{number}", [CREATE], expected=0)
    try:
        wait_until(lambda: sum("startup complete" in line for line in service.lines) == 2)
        for client in clients:
            client.start()
        yield Load(service, projector, clients)
    finally:
        for client in clients:
            client.stopped.set()
        projector.kill()
        service.kill()


def test_service_answers_right_or_503_while_servers_and_workers_fail(
    load: Load, redis_server: RedisServer, mongod: MongoServer
) -> None:
    ends = time.monotonic() + LOAD_SECONDS
    time.sleep(WARM_UP_SECONDS)
    load.wait_for_deposits()

    redis_server.restart()
    load.wait_for_deposits()

    redis_server.send_signal(signal.SIGSTOP)
    time.sleep(REDIS_STOPPED_SECONDS)
    redis_server.send_signal(signal.SIGCONT)
    load.wait_for_deposits()

    victim = workers(load.service)[0]
    victim.kill()
    wait_until(lambda: len({each.pid for each in workers(load.service)} - {victim.pid}) == 2)
    load.wait_for_deposits()

    failed = Counter({one: n for one, n in load.answers().items() if one[0] != ACCOUNT_LIST})
    mongod.send_signal(signal.SIGSTOP)
    resumes = time.monotonic() + MONGODB_STOPPED_SECONDS
    rounds = 0
    while time.monotonic() < resumes or rounds < 2:
        load.wait_for_deposits()
        rounds += 1
    wait_until(lambda: (load.answers() - failed)[ACCOUNT_LIST, 503])
    mongod.send_signal(signal.SIGCONT)
    during = load.answers() - failed
    assert {code for kind, code in during if kind != ACCOUNT_LIST} <= {200, 409, 503}

    load.wait_for_deposits()
    before = resources(load.service)
    ends = max(ends, time.monotonic() + SETTLED_SECONDS)
    while time.monotonic() < ends:
        load.wait_for_deposits()
    after = resources(load.service)
    print(f"\n{dict(load.answers())}\nmemory and files: {before} then {after}")
    assert not [bad for client in load.clients for bad in client.bad]
    unavailable = [one for client in load.clients for one in client.unavailable]
    # Only the list of accounts needs MongoDB; a deposit waits for Redis at most.
    assert all(
        message.startswith("Redis is unavailable") or kind == ACCOUNT_LIST
        for kind, message in unavailable
    )
    assert after[0] - before[0] < MAX_GROWTH_BYTES
    assert after[1] - before[1] < MAX_MORE_FILES
    print(sum((client.lost for client in load.clients), Counter()))
    log = "\n".join(load.service.lines)
    assert "Traceback" not in log, log
    load.end()
    with redis_server.client() as redis, mongod.client() as mongo:
        store = EventStore(redis, CATEGORY)
        wait_until(lambda: views_caught_up(store, mongo["eventlab"]))
        assert_views_are_exact(store, mongo["eventlab"])
        deposited = sum((client.deposited for client in load.clients), Counter[str]())
        for number in range(ACCOUNTS):
            assert store.version(f"a{number}") == 1 + deposited[f"a{number}"]
    assert load.projector.end() == 0
    assert load.service.end() == 0


def resources(service: Listener) -> tuple[int, int]:
    """Return the memory and the number of open files of all workers."""
    found = workers(service)
    return sum(one.memory_info().rss for one in found), sum(one.num_fds() for one in found)
