"""Workers of the account service are killed under load: clients repeat with their key, and the funds are exact."""

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
from tests.accounts.http.test_app import Served, serving

pytestmark = pytest.mark.crash

WORKERS, CLIENTS, COMMANDS, ACCOUNTS = 4, 16, 5000, 10
KILLS = (1000, 2500, 4000)  # after so many answers
PER_CONNECTION = 10  # so that every worker always has clients
HANGS_UP = 0.03  # of the commands are sent, and the answer is not waited for: a kill seldom falls between the two
DONE, REFUSED, AGAIN = 200, 400, (409, 503)


class HungUp(Exception):
    """A client did not wait for its answer."""


class Client(threading.Thread):
    """Sends deposits and withdrawals, each with its key until it has an answer."""

    def __init__(self, number: int, port: int, answered: Callable[[], None]) -> None:
        super().__init__(name=f"client-{number}")
        self.done: list[tuple[str, str, int]] = []  # key, account, what was added
        self.codes: Counter[int] = Counter()
        self.lost = 0
        self._hung_up: set[str] = set()
        self._number, self._port, self._answered = number, port, answered
        self._random = random.Random(number)

    def run(self) -> None:
        """One command after the other."""
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
        ) or response.status == REFUSED, body
        if response.status == DONE:
            self.done.append((key, account, amount))
        self._answered()
        return True


class Killer:
    """Counts answers, and kills a worker at some of them."""

    def __init__(self, served: Served) -> None:
        self.killed: list[int] = []
        self._served, self._count, self._lock = served, 0, threading.Lock()

    def answered(self) -> None:
        """One answer more."""
        with self._lock:
            self._count += 1
            if self._count in KILLS:
                pid = next(
                    pid for pid in workers(self._served.process.pid) if pid not in self.killed
                )
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)


def workers(parent: int) -> list[int]:
    """The worker processes of a running ``eventlab serve``."""
    found = []
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def wait_for_workers(parent: int) -> None:
    """Wait until all of them are there."""
    for _ in range(300):
        if len(workers(parent)) == WORKERS:
            return
        time.sleep(0.1)
    raise AssertionError(f"{len(workers(parent))} workers after 30 s")


def test_workers_killed_under_load_lose_nothing_and_double_nothing(lab: Lab, category: str) -> None:
    with serving(lab, category, workers=WORKERS) as api:
        wait_for_workers(api.process.pid)
        for number in range(ACCOUNTS):
            assert api.post("/accounts", {"id": f"a{number}"}).status_code == 201
        killer = Killer(api)
        clients = [Client(number, api.port, killer.answered) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(150)
            assert not client.is_alive()
        wait_for_workers(api.process.pid)
        held = {f"a{n}": api.get(f"/accounts/a{n}").json()["funds"] for n in range(ACCOUNTS)}
    done = [one for client in clients for one in client.done]
    codes = sum((client.codes for client in clients), Counter[int]())
    print(dict(codes), "lost:", sum(client.lost for client in clients))
    assert len(killer.killed) == len(KILLS)
    assert sum(client.lost for client in clients) > 0
    assert codes.keys() <= {DONE, REFUSED, *AGAIN}
    assert codes[DONE] + codes[REFUSED] == COMMANDS
    assert_every_command_is_one_event(api, done)
    for id, funds in held.items():
        assert funds == sum(amount for _, account, amount in done if account == id) >= 0
        assert [event.version for event in api.store.read(id)] == list(
            range(1, api.store.version(id) + 1)
        )


def assert_every_command_is_one_event(api: Served, done: list[tuple[str, str, int]]) -> None:
    """What was answered with 200 is what the stream holds, each command once."""
    signs = {"deposit": 1, "withdraw": -1}
    stored = [
        (event.meta["correlation_id"], event.id, signs[event.type] * event.data["amount"])
        for event in api.store.read_all()
        if event.type in signs and event.meta
    ]
    assert sorted(stored) == sorted(done)
