"""Workers of the account service are killed under load; clients repeat requests with their keys."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import psutil
import pytest

from eventlab.servers import Lab
from tests.support.accounts_api import Served, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.crash

WORKERS = 4
CLIENTS = 16
COMMANDS = 5000
ACCOUNTS = 10
KILLS = (1000, 2500, 4000)  # numbers of responses after which a worker is killed
PER_CONNECTION = 10  # few, so that every worker always has clients
# The share of commands whose client hangs up: a kill seldom falls between request and response.
HANGS_UP = 0.03
LONG = 1200.0  # seconds, for a busy machine; a test that passes never waits that long
DONE = 200
REJECTED = 400
AGAIN = (409, 503)


class HungUp(Exception):
    """A client did not wait for its response."""


class Client(threading.Thread):
    """Sends deposits and withdrawals, each repeated with its key until there is a response."""

    def __init__(self, number: int, port: int, answered: Callable[[], None]) -> None:
        super().__init__(name=f"client-{number}")
        self.done: list[tuple[str, str, int]] = []  # key, account, what was added
        self.codes: Counter[int] = Counter()
        self.lost = 0
        self._hung_up: set[str] = set()
        self._number = number
        self._port = port
        self._answered = answered
        self._random = random.Random(number)

    def run(self) -> None:
        """Send one command after the other."""
        commands = self._commands()
        while some := list(itertools.islice(commands, PER_CONNECTION)):
            self._send_all(some)

    def _commands(self) -> Iterator[tuple[str, str, int]]:
        for n in range(self._number, COMMANDS, CLIENTS):
            amount = self._random.choice([1, 2, 3, -1, -2, -3])
            yield f"key-{n}", f"a{self._random.randrange(ACCOUNTS)}", amount

    def _send_all(self, commands: list[tuple[str, str, int]]) -> None:
        left = list(commands)
        while left:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                while left:
                    if self._send(connection, *left[0]):
                        left.pop(0)
            except HungUp:
                pass
            except (OSError, http.client.HTTPException):
                self.lost += 1
                time.sleep(0.05)
            finally:
                connection.close()

    def _send(
        self, connection: http.client.HTTPConnection, key: str, account: str, amount: int
    ) -> bool:
        path = f"/accounts/{account}/{'deposits' if amount > 0 else 'withdrawals'}"
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "X-Correlation-Id": key,
        }
        connection.request("POST", path, json.dumps({"amount": abs(amount)}), headers)
        if key not in self._hung_up and self._random.random() < HANGS_UP:
            self._hung_up.add(key)
            raise HungUp
        response = connection.getresponse()
        body = json.loads(response.read())
        self.codes[response.status] += 1
        if response.status in AGAIN:
            return False
        assert (response.status, body.get("amount")) == (
            DONE,
            abs(amount),
        ) or response.status == REJECTED, body
        if response.status == DONE:
            self.done.append((key, account, amount))
        self._answered()
        return True


class Killer:
    """Counts responses and kills a worker at some of them."""

    def __init__(self, served: Served) -> None:
        self.killed: list[int] = []
        self._served = served
        self._count = 0
        self._lock = threading.Lock()

    def answered(self) -> None:
        """Count one more response."""
        with self._lock:
            self._count += 1
            if self._count in KILLS:
                pid = next(
                    pid for pid in workers(self._served.process.pid) if pid not in self.killed
                )
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


def workers(parent: int) -> list[int]:
    """Return the worker processes of a running ``eventlab serve``."""
    found = []
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def wait_for_workers(parent: int) -> None:
    """Wait until all workers run."""
    wait_until(lambda: len(workers(parent)) == WORKERS, LONG)


def test_killed_workers_lose_no_command_and_repeat_none(lab: Lab, category: str) -> None:
    with serving(lab, category, workers=WORKERS) as api:
        wait_for_workers(api.process.pid)
        for number in range(ACCOUNTS):
            assert api.post("/accounts", {"id": f"a{number}"}).status_code == 201
        killer = Killer(api)
        clients = [Client(number, api.port, killer.answered) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(LONG)
            assert not client.is_alive()
        wait_for_workers(api.process.pid)
        held = {f"a{n}": api.get(f"/accounts/a{n}").json()["funds"] for n in range(ACCOUNTS)}
    done = [one for client in clients for one in client.done]
    codes = sum((client.codes for client in clients), Counter[int]())
    print(dict(codes), "lost:", sum(client.lost for client in clients))
    assert len(killer.killed) == len(KILLS)
    assert sum(client.lost for client in clients) > 0
    assert codes.keys() <= {DONE, REJECTED, *AGAIN}
    assert codes[DONE] + codes[REJECTED] == COMMANDS
    assert_every_command_is_one_event(api, done)
    for id, funds in held.items():
        assert funds == sum(amount for _, account, amount in done if account == id) >= 0
        assert [event.version for event in api.store.read(id)] == list(
            range(1, api.store.version(id) + 1)
        )


def assert_every_command_is_one_event(api: Served, done: list[tuple[str, str, int]]) -> None:
    """Assert that the stream holds each command that was answered with 200 exactly once."""
    signs = {"deposit": 1, "withdraw": -1}
    stored = [
        (event.meta["correlation_id"], event.id, signs[event.type] * event.data["amount"])
        for event in api.store.read_all()
        if event.type in signs and event.meta
    ]
    assert sorted(stored) == sorted(done)
