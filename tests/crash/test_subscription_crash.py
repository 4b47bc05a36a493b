"""Consumers and Redis are killed at random: each event is delivered at least once, and in order."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from eventlab import ANY, Event, EventStore, Recorded
from eventlab.subscriptions.records import Lag
from eventlab.subscriptions.subscription import Subscription
from tests.support.crash_servers import DOWN, RedisServer, answers, redis_server
from tests.support.processes import forked
from tests.support.waiting import wait_until

pytestmark = pytest.mark.crash

__all__ = ["redis_server"]  # a fixture

EVENTS = 5_000
ACCOUNTS = 50
CONSUMERS = 3
KILLS = 15
REDIS_KILLS = 2
#: While consumers are killed, they have so many events left: however slow a restart is.
BACKLOG = 1_000
LONG = 600.0  # seconds, for a busy machine; a test that passes never waits that long
#: A consumer dies after its work on this event, before the acknowledgment.
UNLUCKY = ("7", 5)


def die_once(event: Recorded, folder: str) -> None:
    """Kill this consumer at the chosen event, unless the event has killed a consumer before."""
    if (event.id, event.version) == UNLUCKY:
        with contextlib.suppress(FileExistsError):
            Path(folder, "killed").touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)


def subscribe(client: redis.Redis, consumer: str, *, ordered: bool = False) -> Subscription:
    return Subscription(
        EventStore(client, "s"),
        "letters",
        consumer=consumer,
        claim_after=1.0,
        max_failures=3,
        max_deliveries=6,
        backoff=0.05,
        ordered=ordered,
    )


def consume(socket: str, folder: str, name: str) -> None:
    """Consume like a typical program; the outside system is a file with a line per event."""
    record = os.open(f"{folder}/{name}.record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    client = redis.Redis(unix_socket_path=socket)
    wait_until(lambda: answers(client))
    letters = subscribe(client, name)
    while True:
        with contextlib.suppress(*DOWN):
            done = []
            for event in letters.receive(20, block=5):
                if event.type == "deadly":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif event.type == "poison":
                    letters.fail(event, ValueError("no such street"))
                else:
                    time.sleep(0.001)
                    os.write(record, f"{event.id} {event.version}\n".encode())
                    die_once(event, folder)
                    done.append(event)
            letters.ack(done)


def run_in_order(socket: str, folder: str, name: str) -> None:
    """Consume with ``run``; all consumers record in one file too, which shows their order."""
    record = os.open(f"{folder}/{name}.record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    shared = os.open(f"{folder}/shared.record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    healed = Path(folder, "healed")
    client = redis.Redis(unix_socket_path=socket)

    def handle(event: Recorded) -> None:
        if event.type == "deadly" and not healed.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if event.type == "poison" and not healed.exists():
            raise ValueError("no such street")
        time.sleep(0.001)
        for file in (record, shared):
            os.write(file, f"{event.id} {event.version}\n".encode())
        die_once(event, folder)

    wait_until(lambda: answers(client))
    letters = subscribe(client, name, ordered=True)
    letters.run(handle, threading.Event(), batch_size=20, poll_interval=0.1)


class Crew:
    """Consumers as processes; a dead one is restarted with its name."""

    def __init__(
        self,
        server: RedisServer,
        folder: Path,
        names: list[str],
        target: Callable[[str, str, str], None] = consume,
    ) -> None:
        self._server = server
        self._folder = folder
        self._target = target
        self.names = names
        self._processes = {name: self._start(name) for name in names}

    def _start(self, name: str) -> Any:
        process = forked(self._target, self._server.socket, str(self._folder), name)
        process.start()
        return process

    def restart(self, name: str) -> None:
        self._processes[name].kill()
        self._processes[name].join()
        self._processes[name] = self._start(name)

    def restart_the_dead(self) -> int:
        dead = [name for name, process in self._processes.items() if not process.is_alive()]
        for name in dead:
            self.restart(name)
        return len(dead)

    def suspend(self) -> None:
        """Stop all consumers, so that they do nothing while this process stalls."""
        self._send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._send_signal(signal.SIGCONT)

    def _send_signal(self, number: int) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):  # it has killed itself
                os.kill(process.pid, number)

    def recorded(self, name: str) -> list[str]:
        path = self._folder / f"{name}.record"
        return path.read_text().splitlines() if path.exists() else []

    def all_recorded(self) -> Counter[str]:
        return Counter(line for name in self.names for line in self.recorded(name))

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.join()


def test_each_event_is_delivered_at_least_once_after_kills(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    chance = random.Random(4)
    with redis_server.client() as client:
        store = EventStore(client, "s")
        letters = subscribe(client, "observer")
        each = 0

        def append_to_all(count: int) -> None:
            nonlocal each
            for account in range(ACCOUNTS):
                store.append(str(account), [Event("withdraw")] * count, expected=ANY)
            each += count

        append_to_all(EVENTS // ACCOUNTS)
        crew = Crew(redis_server, tmp_path, [f"letters-{number}" for number in range(CONSUMERS)])
        try:
            when_redis_dies = chance.sample(range(3, KILLS), REDIS_KILLS)
            for number in range(KILLS):
                name = crew.names[number % CONSUMERS]
                begun = len(crew.recorded(name))
                least = begun + chance.randint(1, 60)  # busy, somewhere between two commands

                def is_busy(name: str = name, least: int = least) -> bool:
                    crew.resume()
                    crew.restart_the_dead()  # by the unlucky event
                    if letters.lag().events < BACKLOG:
                        append_to_all(10)
                    if len(crew.recorded(name)) < least:
                        return False
                    time.sleep(chance.uniform(0, 0.01))
                    crew.suspend()
                    return letters.lag().events > 0  # 0: they were done while this process stalled

                wait_until(is_busy, LONG)
                crew.restart(name)
                crew.resume()
                if number in when_redis_dies:
                    redis_server.restart()
            letters = subscribe(client, "observer")
            wait_until(lambda: letters.lag().events == 0, LONG)
            recorded = crew.all_recorded()
        finally:
            crew.stop()
        lag = letters.lag()
    repeats = Counter(count - 1 for count in recorded.values())
    print(
        f"\n{ACCOUNTS * each} events, {CONSUMERS} consumers, kills: {KILLS} + {REDIS_KILLS} "
        "of Redis;",
        end=" ",
    )
    print(
        f"{recorded.total() - len(recorded)} repeats; "
        f"events by repeats: {dict(sorted(repeats.items()))}"
    )
    assert recorded.keys() == {f"{a} {v + 1}" for a in range(ACCOUNTS) for v in range(each)}
    assert lag == Lag(new=0, pending=0, waiting=0, parked=0, exact=True)
    assert recorded.total() > len(recorded), "no kill fell between the work and its ack"


def test_failing_and_deadly_events_are_parked_and_do_not_block_the_rest(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with redis_server.client() as client:
        store = EventStore(client, "s")
        types = ["withdraw"] * 300
        types[40] = "poison"
        types[41] = "deadly"
        types[90] = "poison"
        events = store.append("a", [Event(type) for type in types], expected=ANY)
        letters = subscribe(client, "observer")
        crew = Crew(redis_server, tmp_path, ["letters-0", "letters-1"])
        deaths = 0

        def is_done() -> bool:
            nonlocal deaths
            deaths += crew.restart_the_dead()
            # A consumer that stalls may die after another one has parked its event.
            return letters.lag().events == 0 and deaths >= 6

        try:
            wait_until(is_done, LONG)
            recorded = crew.all_recorded()
        finally:
            crew.stop()
        parked = letters.parked()
    print(
        f"\nparked, after {deaths} deaths: {[(p.failures, p.deliveries, p.error) for p in parked]}"
    )
    assert [p.event for p in parked] == [events[40], events[41], events[90]]
    poison, deadly, poison_too = parked
    assert {(p.error, p.failures) for p in (poison, poison_too)} == {
        ("ValueError: no such street", 3)
    }
    assert (deadly.failures, deadly.deliveries, deaths) == (0, 6, 6)
    assert recorded.keys() == {f"a {event.version}" for event in events if event.type == "withdraw"}


def first_times(path: Path) -> dict[str, list[int]]:
    """Return the versions of each aggregate in the order in which they were handled first."""
    found: dict[str, list[int]] = defaultdict(list)
    for line in path.read_text().splitlines():
        id, version = line.split()
        if int(version) not in found[id]:
            found[id].append(int(version))
    return found


def test_ordered_events_are_handled_in_order_after_kills(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    chance = random.Random(5)
    kinds = {("3", 40): "poison", ("4", 50): "deadly"}
    each = 0
    with redis_server.client() as client:
        store = EventStore(client, "s")

        def append_to_all() -> None:
            nonlocal each
            for id in map(str, range(20)):
                store.append(id, [Event(kinds.get((id, each), "withdraw"))], expected=each)
            each += 1

        while each < 100:  # interleaved, so that the aggregates are busy all the time
            append_to_all()
        observer = subscribe(client, "observer", ordered=True)
        names = [f"letters-{number}" for number in range(CONSUMERS)]
        crew = Crew(redis_server, tmp_path, names, run_in_order)
        try:
            for number in range(12):
                name = crew.names[number % CONSUMERS]
                least = len(crew.recorded(name)) + chance.randint(1, 40)

                def is_busy(name: str = name, least: int = least) -> bool:
                    crew.resume()
                    crew.restart_the_dead()  # by the deadly event, or the unlucky one
                    # Behind each of the two parked events, fewer than each are blocked.
                    if observer.lag().events < BACKLOG + 2 * each:
                        append_to_all()
                    if len(crew.recorded(name)) < least:
                        return False
                    time.sleep(chance.uniform(0, 0.01))
                    crew.suspend()
                    return observer.lag().events > 2 * each  # else, this process has stalled

                wait_until(is_busy, LONG)
                crew.restart(name)
                crew.resume()
                if number in (4, 9):
                    redis_server.restart()
            observer = subscribe(client, "observer")

            def only_two_are_blocked() -> bool:
                crew.restart_the_dead()
                blocked = each - 41 + each - 51
                return observer.lag() == Lag(0, 0, 0, 2, exact=True, blocked=blocked)

            wait_until(only_two_are_blocked, LONG)
            before = first_times(tmp_path / "shared.record")
            (tmp_path / "healed").touch()
            assert observer.replay() == 2
            wait_until(lambda: observer.lag().events == 0, LONG)
        finally:
            crew.stop()
        assert observer.lag() == Lag(0, 0, 0, 0, exact=True)
    wanted = list(range(1, each + 1))
    assert before == {str(id): wanted for id in range(20)} | {"3": wanted[:40], "4": wanted[:50]}
    assert first_times(tmp_path / "shared.record") == {str(id): wanted for id in range(20)}
    recorded = crew.all_recorded()
    print(f"\n{20 * each} events: {recorded.total() - 20 * each} repeats")
    id, version = UNLUCKY
    assert recorded[f"{id} {version}"] > 1, "no kill fell between the work and its ack"
