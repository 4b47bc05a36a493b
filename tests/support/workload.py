"""Writers, a projector, a consumer and a service that keep working while servers fail."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from redis.backoff import ConstantBackoff
from redis.retry import Retry

from eventlab import Event, EventStore, Recorded, Subscription, VersionConflict
from eventlab.accounts.projectors import views
from eventlab.lessons.ports import free_port
from eventlab.servers import external
from eventlab.store.answers import SERVER_ERRORS, is_outage
from eventlab.store.keys import START, order
from tests.support.processes import forked
from tests.support.views import assert_views_are_exact, views_caught_up
from tests.support.waiting import PATIENCE_SECONDS, wait_until

CATEGORY = "accountStream"
COLLECTION = "accountCollection"
SUBSCRIPTION = "letters"
WRITERS = 4
ACCOUNTS_OF_A_WRITER = 20
PAUSE_SECONDS = 0.005  # between two appends: leaves the processor to the others
MAX_AHEAD = 500  # a writer pauses at this lead, because slow readers would never catch up
GROUPS = len(views(COLLECTION)) + 1  # of the views and of the subscription
AGAIN_SECONDS = 0.05
TRIES = 100

Identity = tuple[str, int]  # id, version
Result = TypeVar("Result")


def patient_store(url: str) -> EventStore:
    """Return a store that tries again and again while a server stalls or a cluster is down."""
    redis = external.redis_at(url)
    redis.set_retry(Retry(ConstantBackoff(AGAIN_SECONDS), TRIES))
    return EventStore(redis, CATEGORY)


class UntilAcknowledged:
    """Repeat a call while a server is down, and count the errors that the caller saw."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = (folder / f"{name}.errors").open("a")

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Return the first result; raise an error that is not an outage."""
        while True:
            try:
                return call()
            except SERVER_ERRORS as error:
                print(type(error).__name__, str(error)[:200], file=self._file, flush=True)
                if not is_outage(error):
                    raise
                time.sleep(AGAIN_SECONDS)


class Lead:
    """The events of a writer that the slowest view or consumer has not read yet."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._unread: deque[str] = deque()

    def note(self, event: Recorded) -> None:
        """Add an event that was appended."""
        self._unread.append(event.position)

    def is_too_long(self) -> bool:
        """Return whether more than ``MAX_AHEAD`` events are unread."""
        if len(self._unread) > MAX_AHEAD:
            groups = self._store.redis.xinfo_groups(self._store.keys.stream)
            read = [order(str(group["last-delivered-id"])) for group in groups]
            slowest = min(read) if len(read) >= GROUPS else order(START)
            while self._unread and order(self._unread[0]) <= slowest:
                self._unread.popleft()
        return len(self._unread) > MAX_AHEAD


def write(url: str, folder: str, number: int, replicas: int) -> None:
    """Append to some accounts until the file ``stop`` exists; record what was acknowledged."""
    store = EventStore(external.redis_at(url), CATEGORY)
    patiently = UntilAcknowledged(Path(folder), f"writer{number}")
    versions: Counter[str] = Counter()
    lead = Lead(store)
    step = 0
    with Path(folder, f"writer{number}").open("w") as noted:
        while not Path(folder, "stop").exists():
            if Path(folder, "pause").exists():
                Path(folder, f"paused{number}").touch()
                wait_until(lambda: not Path(folder, "pause").exists())
            if patiently(lead.is_too_long):
                time.sleep(AGAIN_SECONDS)
                continue
            id = f"{number}-{step % ACCOUNTS_OF_A_WRITER}"
            event = Event("deposit", {"amount": 1 + step % 7}) if versions[id] else Event("create")
            token = f"{number}:{step}"
            step += 1

            def append(id: str = id, event: Event = event, token: str = token) -> Recorded:
                (recorded,) = store.append(id, [event], expected=versions[id], token=token)
                if replicas:
                    store.settle(disk=0, replicas=replicas)
                return recorded

            try:
                lead.note(patiently(append))
            except VersionConflict as conflict:  # a failover has lost events
                print(id, conflict.expected, conflict.actual, "conflict", file=noted, flush=True)
                versions[id] = conflict.actual
                continue
            versions[id] += 1
            print(id, versions[id], file=noted, flush=True)
            time.sleep(PAUSE_SECONDS)


def consume(url: str, folder: str) -> None:
    """Receive, record and acknowledge events until ``stop`` exists and none is left."""
    store = EventStore(external.redis_at(url), CATEGORY)
    patiently = UntilAcknowledged(Path(folder), "consumer")
    subscription = patiently(lambda: Subscription(store, SUBSCRIPTION, consumer="one"))
    with Path(folder, "received").open("w") as noted:
        while True:
            stopped = Path(folder, "stop").exists()
            events = patiently(lambda: subscription.receive(100, block=0.3))
            for event in events:
                print(event.id, event.version, file=noted, flush=True)
            patiently(lambda events=events: subscription.ack(events))
            if stopped and not events:
                return


class Listener:
    """A command of eventlab in its own process, and the lines of its log."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "eventlab", *arguments],
            env=os.environ | env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._listen)
        self._reader.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            for line in self.process.stderr:
                self.lines.append(line.rstrip())

    def end(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join()
        return code

    def kill(self) -> None:
        """Kill the process, if it still runs."""
        self.process.kill()
        self.process.wait()
        self._reader.join()


class Customer(threading.Thread):
    """Makes deposits over HTTP; repeats each with its key until it gets a response."""

    def __init__(self, port: int, id: str) -> None:
        super().__init__(name=id, daemon=True)
        self.id = id
        self.funds = 0
        self.codes: Counter[int] = Counter()
        self.bad: list[str] = []
        self.unavailable: list[str] = []  # the messages of all responses with the code 503
        self.stopped = threading.Event()
        self.may_start = threading.Event()
        self.may_start.set()
        self.waits = threading.Event()
        self._port = port

    def run(self) -> None:
        """Open the account, then deposit until stopped."""
        self._until_answered("/accounts", {"id": self.id}, f"{self.id}-open")
        number = 0
        while not self.stopped.is_set():
            number += 1
            if not self.may_start.is_set():
                self.waits.set()
                self.may_start.wait()
            self._until_answered(
                f"/accounts/{self.id}/deposits", {"amount": 1}, f"{self.id}-{number}"
            )
            self.funds += 1
            time.sleep(PAUSE_SECONDS)

    def _until_answered(self, path: str, body: object, key: str) -> None:
        while True:
            code, retry_after, text = self._post(path, body, key)
            self.codes[code] += 1
            if code in (200, 201):
                return
            if code not in (0, 503) or (code == 503 and not (retry_after and text[:1] == "{")):
                self.bad.append(f"{code} {text}")
                return
            if code == 503:
                self.unavailable.append(json.loads(text)["errorMessage"])
            time.sleep(AGAIN_SECONDS)

    def _post(self, path: str, body: object, key: str) -> tuple[int, str | None, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
            return response.status, response.headers["Retry-After"], text
        except (OSError, http.client.HTTPException) as error:
            return 0, None, str(error)
        finally:
            connection.close()


class Workload:
    """All of these programs, on one Redis and one MongoDB."""

    def __init__(
        self, redis_url: str, mongodb_url: str, folder: Path, *, replicas: int = 0
    ) -> None:
        self._redis_url = redis_url
        self._folder = folder
        env = {external.REDIS_URL: redis_url, external.MONGODB_URL: mongodb_url}
        self.store = patient_store(redis_url)
        self.port = free_port()
        self.projector = Listener(env, "project")
        self.service = Listener(env, "serve", "--port", str(self.port), "--workers", "2")
        self.customers = [Customer(self.port, f"customer{number}") for number in range(2)]
        self.writers = [
            forked(write, redis_url, str(folder), number, replicas) for number in range(WRITERS)
        ]
        self.consumer = forked(consume, redis_url, str(folder))

    def start(self) -> None:
        """Start all programs, and wait until they work."""
        for process in [*self.writers, self.consumer]:
            process.start()
        wait_until(self._service_answers)
        for customer in self.customers:
            customer.start()
        self.wait_for_progress()
        wait_until(lambda: any("active" in line for line in self.projector.lines))

    def _service_answers(self) -> bool:
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            ) as connection,
        ):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        return False

    def wait_for_progress(self) -> None:
        """Wait until each writer, the consumer and each customer has made some progress."""
        written = {number: len(self.acknowledged(number)) for number in range(WRITERS)}
        received = len(self.received())
        funds = [customer.funds for customer in self.customers]
        wait_until(
            lambda: (
                all(
                    len(self.acknowledged(number)) > count + 50 for number, count in written.items()
                )
                and len(self.received()) > received + 50
                and all(
                    customer.funds > before + 10
                    for customer, before in zip(self.customers, funds, strict=True)
                )
            )
        )

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all appends for the duration of the block, so that a replica catches up."""
        for number in range(WRITERS):  # from an earlier pause
            (self._folder / f"paused{number}").unlink(missing_ok=True)
        for customer in self.customers:
            customer.waits.clear()
            customer.may_start.clear()
        (self._folder / "pause").touch()
        wait_until(
            lambda: all((self._folder / f"paused{number}").exists() for number in range(WRITERS))
        )
        for customer in self.customers:
            assert customer.waits.wait(PATIENCE_SECONDS)
        yield
        (self._folder / "pause").unlink()
        for customer in self.customers:
            customer.may_start.set()

    def acknowledged(self, number: int) -> list[Identity]:
        """Return what the store has confirmed to a writer."""
        return [identity for identity, conflict in self._noted(number) if not conflict]

    def conflicts(self) -> int:
        """Return how many times a writer met a version that it did not expect."""
        return sum(conflict for number in range(WRITERS) for _, conflict in self._noted(number))

    def _noted(self, number: int) -> list[tuple[Identity, bool]]:
        path = self._folder / f"writer{number}"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        fields = [line.split() for line in lines if line.endswith("\n")]
        return [((found[0], int(found[1])), len(found) > 2) for found in fields]

    def received(self) -> list[Identity]:
        """Return what the consumer has received."""
        path = self._folder / "received"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        fields = [line.split() for line in lines if line.endswith("\n")]
        return [(id, int(version)) for id, version in fields]

    def seen_errors(self) -> Counter[str]:
        """Return how many errors of each class the writers and the consumer saw."""
        return Counter(
            line.split()[0]
            for path in self._folder.glob("*.errors")
            for line in path.read_text().splitlines()
        )

    def stop_writing(self) -> None:
        """End the customers and writers, and the consumer once it has received everything."""
        for customer in self.customers:
            customer.stopped.set()
            customer.join(PATIENCE_SECONDS)
            assert not customer.is_alive()
        (self._folder / "stop").touch()
        for process in self.writers:
            process.join(PATIENCE_SECONDS)
            assert process.exitcode == 0

    def end(self) -> None:
        """End the consumer, the projector and the service, and check that none fails."""
        self.consumer.join(PATIENCE_SECONDS)
        assert self.consumer.exitcode == 0
        assert self.projector.process.poll() is None, self.projector.lines[-3:]
        assert self.projector.end() == 0
        assert self.service.end() == 0

    def kill(self) -> None:
        """Kill what still runs."""
        for process in [*self.writers, self.consumer]:
            if process.pid is not None:
                process.kill()
                process.join()
        for listener in (self.projector, self.service):
            listener.kill()
        self.store.redis.close()


@contextlib.contextmanager
def workload(
    redis_url: str, mongodb_url: str, folder: Path, *, replicas: int = 0
) -> Iterator[Workload]:
    """Run the workload, and kill what is left of it at the end."""
    running = Workload(redis_url, mongodb_url, folder, replicas=replicas)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def assert_nothing_lost_or_doubled(work: Workload) -> None:
    """Assert that the stream holds what was acknowledged, once, and equals the aggregate logs."""
    stream = [(event.id, event.version) for event in work.store.read_all()]
    assert len(stream) == len(set(stream))
    assert {id: max(v for i, v in stream if i == id) for id in work.store.ids()} == {
        id: work.store.version(id) for id in work.store.ids()
    }
    acknowledged = {one for number in range(WRITERS) for one in work.acknowledged(number)}
    assert acknowledged <= set(stream)
    for customer in work.customers:
        funds = sum(event.data.get("amount", 0) for event in work.store.read(customer.id))
        assert funds == customer.funds
        assert not customer.bad
    received = Counter(work.received())
    assert received.keys() == set(stream)


def assert_each_outage_is_logged_once(lines: list[str]) -> None:
    """Assert that the projector logged changes of state only, and each of them once."""
    states: dict[str, list[str]] = {}
    for line in lines:
        _, view, state, *_ = line.replace(" view ", ": ", 1).split(": ")
        states.setdefault(view, []).append(state)
    for logged in states.values():
        assert set(logged) <= {"active", "waiting", "standby"}, lines
        assert not any(old == new == "waiting" for old, new in itertools.pairwise(logged)), lines


def assert_workload_resumes(work: Workload, database: Any) -> None:
    """Assert that after a failover every program makes progress, exits normally, and is exact."""
    begun = time.monotonic()
    work.wait_for_progress()
    resumed = time.monotonic() - begun
    work.stop_writing()
    wait_until(lambda: views_caught_up(work.store, database))
    work.end()
    assert_nothing_lost_or_doubled(work)
    assert not work.conflicts()
    assert_views_are_exact(work.store, database)
    assert_each_outage_is_logged_once(work.projector.lines)
    print(f"\nresumed after {resumed:.1f} s; the callers saw {dict(work.seen_errors())}")
