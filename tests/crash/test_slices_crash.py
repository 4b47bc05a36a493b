"""One of three masters is killed under load: the slices of the others continue, and all are exact.

Progress is the proof, not time: while the master is down, events of the other slices are appended,
applied to a view and delivered, again and again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlab import Event, EventStore, Projector, Recorded, Subscription
from eventlab.accounts import AccountView
from eventlab.lessons.ports import free_cluster_port
from eventlab.lessons.redis_nodes import SLOTS, Node
from eventlab.servers import external
from eventlab.store.answers import SERVER_ERRORS, is_outage
from tests.support.crash_servers import MongoServer, mongod
from tests.support.waiting import wait_until

pytestmark = pytest.mark.crash

__all__ = ["mongod"]  # a fixture

CATEGORY = "accountStream"
ROUNDS = 3
PAUSE_SECONDS = 0.05  # between two appends: leaves the processor to the others
MAX_AHEAD = 200  # a writer pauses at this lead, because a slow consumer would never catch up


@pytest.fixture
def masters(tmp_path: Path) -> Iterator[list[Node]]:
    """Three masters without replicas; the slots of two are served while the third is down."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(3):
            port = free_cluster_port()
            options = ["--appendonly", "yes", "--save", "", "--cluster-enabled", "yes"]
            options += ["--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000"]
            options += ["--appendfsync", "always"]  # otherwise, a kill may lose confirmed writes
            nodes.append(Node(tmp_path / str(port), port, *options))
            stack.callback(nodes[-1].close)
        for number, node in enumerate(nodes):
            first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port)
        wait_until(lambda: all(_is_complete(node) for node in nodes))
        yield nodes


def _is_complete(node: Node) -> bool:
    info = node.cluster_info()
    return "cluster_state:ok" in info and "cluster_known_nodes:3" in info


class Load:
    """A writer for the slices of each master, a projector and a consumer, until ``stop``."""

    def __init__(self, masters: list[Node], mongod: MongoServer) -> None:
        self.url = "redis://" + ",".join(f"127.0.0.1:{node.port}" for node in masters)
        self.stop = threading.Event()
        self.stop_writers = threading.Event()
        self.acknowledged = [Counter[str]() for _ in masters]  # versions by id, of each master
        self.handled: set[tuple[str, int]] = set()
        self.handled_of = [0 for _ in masters]
        self.killed: int | None = None  # the master that is down, whose writer keeps trying
        self.errors: list[BaseException] = []
        self.store = self.open()
        self.mongo = mongod.client()
        self.view = self.mongo["eventlab"]["accounts"]
        self.ids: list[list[str]] = [[] for _ in masters]
        for number in range(120):
            id = f"account{number}"
            stream = self.store.slice_of(id).keys.stream
            port = self.store.redis.get_node_from_key(stream).port
            self.ids[[node.port for node in masters].index(port)].append(id)
        self.number_of = {id: number for number, ids in enumerate(self.ids) for id in ids}
        self.writers = [
            threading.Thread(target=self._noting, args=(self.write, number))
            for number in range(len(masters))
        ]
        self.followers = [
            threading.Thread(target=self._noting, args=(work,))
            for work in (self.project, self.consume)
        ]

    def open(self) -> EventStore:
        return EventStore(external.redis_at(self.url), CATEGORY, slices=64)

    def _noting(self, work: Callable[..., None], *arguments: int) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            self.errors.append(error)
            raise

    def write(self, number: int) -> None:
        store = self.open()
        versions = self.acknowledged[number]
        step = 0
        while not self.stop_writers.is_set():
            is_ahead = versions.total() > self.handled_of[number] + MAX_AHEAD
            if is_ahead and number != self.killed:
                time.sleep(PAUSE_SECONDS)
                continue
            id = self.ids[number][step % len(self.ids[number])]
            event = Event("deposit", {"amount": 1 + step % 7}) if versions[id] else Event("create")
            try:
                store.append(id, [event], expected=versions[id], token=f"{number}:{step}")
            except SERVER_ERRORS as error:
                if not is_outage(error):
                    raise
                time.sleep(0.05)
                continue
            versions[id] += 1
            step += 1
            time.sleep(PAUSE_SECONDS)

    def project(self) -> None:
        with Projector(self.open(), self.mongo["eventlab"], AccountView("accounts")) as projector:
            projector.run(self.stop)

    def consume(self) -> None:
        letters = Subscription(self.open(), "letters", consumer="c", claim_after=60)
        letters.run(self.note, self.stop, batch_size=50)

    def note(self, event: Recorded) -> None:
        if (event.id, event.version) not in self.handled:
            self.handled.add((event.id, event.version))
            self.handled_of[self.number_of[event.id]] += 1

    def goes_on(self, number: int) -> bool:
        """Wait until new events of a master's slices are appended, applied and delivered."""
        before = self.acknowledged[number].total()
        wait_until(lambda: self.acknowledged[number].total() >= before + len(self.ids[number]))
        wanted = dict(self.acknowledged[number])
        wait_until(lambda: not self.errors and self.shows(wanted))
        wait_until(lambda: self.handled >= set(wanted.items()))
        return True

    def shows(self, versions: dict[str, int]) -> bool:
        found = {each["_id"]: each["version"] for each in self.view.find({}, {"version": 1})}
        return all(found.get(id, 0) >= version for id, version in versions.items())


def test_slices_of_other_masters_continue_while_one_is_down(
    masters: list[Node], mongod: MongoServer
) -> None:
    load = Load(masters, mongod)
    with load.mongo:
        try:
            for thread in (*load.writers, *load.followers):
                thread.start()
            assert all(load.goes_on(number) for number in range(3))
            masters[0].kill()
            load.killed = 0
            lost = load.acknowledged[0].total()
            for _ in range(ROUNDS):
                assert load.goes_on(1)
                assert load.goes_on(2)
            assert not masters[0].answers()
            assert load.acknowledged[0].total() <= lost + 1  # its answer may have come just before
            load.killed = None
            masters[0].start()
            assert all(load.goes_on(number) for number in range(3))
            load.stop_writers.set()
            for thread in load.writers:
                thread.join()
            expected = {id: n for versions in load.acknowledged for id, n in versions.items() if n}
            wait_until(lambda: load.shows(expected))
            wait_until(lambda: len(load.handled) >= sum(expected.values()))
        finally:
            load.stop_writers.set()
            load.stop.set()
            for thread in (*load.writers, *load.followers):
                if thread.ident is not None:
                    thread.join()
        assert load.errors == []
        assert load.store.verify() == []
        events = {id: load.store.read(id) for id in load.store.ids()}
        assert {id: len(found) for id, found in events.items()} == expected
        assert load.handled == {(id, event.version) for id in events for event in events[id]}
        views: dict[str, Any] = {each["_id"]: each for each in load.view.find()}
        for id, found in events.items():
            funds = sum(event.data.get("amount", 0) for event in found)
            assert (views[id]["funds"], views[id]["version"]) == (funds, len(found))
