"""Projectors, Redis and mongod are killed at random: each event counts once in every view."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo.errors import OperationFailure

from eventlab import ANY, Changes, Event, EventStore, NoReplicaSet, Projector
from eventlab.accounts import AccountView
from eventlab.accounts.projectors import views
from eventlab.projections.view import View
from eventlab.servers import external
from eventlab.store.keys import order, view_group
from tests.support.crash_servers import DOWN, MongoServer, RedisServer, mongod, redis_server
from tests.support.processes import FORKSERVER, forked
from tests.support.views import by_id, held, truth
from tests.support.views import views_caught_up as all_caught_up
from tests.support.waiting import wait_until

pytestmark = pytest.mark.crash

__all__ = ["mongod", "redis_server"]  # fixtures

CATEGORY = "accountStream"
COLLECTION = "accountCollection"
EVENTS = 20_000
ACCOUNTS = 200
AT_ONCE = 5
KILLS = 30
SERVER_KILLS = 2
PROJECTORS = 3
#: What a start-up or a backlog may delay on a busy machine: a test that passes never waits so long.
LONG = 600.0
PROJECT = [sys.executable, "-m", "eventlab", "project"]


class Crew:
    """Processes that project; a dead process is restarted."""

    def __init__(
        self, redis_server: RedisServer, mongod: MongoServer, command: list[str], number: int
    ) -> None:
        self._command = command
        self._env = os.environ | {
            external.REDIS_URL: redis_server.url,
            external.MONGODB_URL: mongod.url,
        }
        self.log_lines: list[str] = []
        self._readers: list[threading.Thread] = []
        self.processes = [self._start() for _ in range(number)]

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(self._command, env=self._env, stderr=subprocess.PIPE, text=True)
        reader = threading.Thread(target=self._listen, args=(process,))
        reader.start()
        self._readers.append(reader)
        return process

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            self.log_lines += process.stderr

    def restart(self, at: int) -> None:
        self.processes[at].kill()
        self.processes[at].wait()
        self.processes[at] = self._start()

    def restart_the_dead(self) -> None:
        for at, process in enumerate(self.processes):
            if process.poll() is not None:
                self.restart(at)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for reader in self._readers:
            reader.join()


def write(socket: str, record: str, events: int, pause: float, end: Any) -> None:
    """Append, record what was acknowledged, and repeat with its token what got no response."""
    chance = random.Random(7)
    versions = Counter[str]()
    client = redis.Redis(unix_socket_path=socket)
    store = EventStore(client, CATEGORY)
    with Path(record).open("w") as noted:
        for number in itertools.count():
            is_enough = number * AT_ONCE >= events
            if is_enough and end.is_set():
                break
            id = str(number if number < ACCOUNTS else chance.randrange(ACCOUNTS))
            kinds = ["create"] if id not in versions else []
            kinds += ["deposit"] * (AT_ONCE - 1) + ["withdraw"]
            batch = [
                Event(kind, {} if kind == "create" else {"amount": chance.randint(1, 9)})
                for kind in kinds
            ]
            batch = batch[:AT_ONCE]
            for _ in range(3_000):
                with contextlib.suppress(*DOWN):
                    store.append(id, batch, expected=versions[id], token=str(number))
                    break
                time.sleep(0.1)
            versions[id] += len(batch)
            print(id, versions[id], file=noted, flush=True)
            time.sleep(10 * pause if is_enough else pause)  # the views must catch up eventually


class Written:
    """Writes a number of events in its own process, then more of them slowly until `end`."""

    def __init__(self, server: RedisServer, folder: Path, events: int, *, pause: float = 0) -> None:
        self._record = folder / "written"
        self._record.touch()
        self._end = FORKSERVER.Event()
        args = (server.socket, str(self._record), events, pause, self._end)
        self.process = forked(write, *args)
        self.process.start()

    def versions(self) -> dict[str, int]:
        """Return the newest acknowledged version of each account."""
        lines = [line.split() for line in self._record.read_text().splitlines()]
        return {id: int(version) for id, version in (line for line in lines if len(line) == 2)}

    def so_far(self) -> int:
        return sum(self.versions().values())

    def end(self) -> None:
        self._end.set()
        self.process.join(LONG)
        assert self.process.exitcode == 0


def test_every_view_is_exact_after_kills(
    redis_server: RedisServer, mongod: MongoServer, tmp_path: Path
) -> None:
    chance = random.Random(4)
    kills = 0
    with (
        redis_server.client() as client,
        mongod.client() as mongo,
        Crew(redis_server, mongod, PROJECT, 3) as crew,
    ):
        store = EventStore(client, CATEGORY)
        database = mongo["eventlab"]
        written = Written(redis_server, tmp_path, EVENTS, pause=0.004)
        whom = ["redis"] * SERVER_KILLS + ["mongod"] * SERVER_KILLS + ["projector"] * KILLS
        chance.shuffle(whom)
        for victim in whom:
            time.sleep(chance.uniform(0.1, 0.6))
            assert written.process.is_alive()
            if victim == "redis":
                redis_server.restart()
            elif victim == "mongod":
                mongod.restart()
            else:
                crew.restart(chance.randrange(PROJECTORS))
                kills += 1
            crew.restart_the_dead()
        written.end()

        def done() -> bool:
            crew.restart_the_dead()
            time.sleep(0.1)
            return all_caught_up(store, database)

        wait_until(done, LONG)
        assert kills == KILLS
        assert {id: store.version(id) for id in store.ids()} == written.versions()
        assert sum(1 for _ in store.read_all()) == written.so_far() >= EVENTS
        assert by_id(held(database)) == by_id(truth(store))
    assert not [line for line in crew.log_lines if "Traceback" in line]


class Outside(Projector):
    """Wrong on purpose: write the documents first, then, much later, the position."""

    def _write(self, changes: Changes, old: str, new: str, *_: Any) -> bool:
        steps: list[Callable[[], Any]] = [
            lambda: self._documents(changes),
            lambda: self._position(new),
        ]
        first, second = steps[:: self.direction]
        first()
        time.sleep(0.2)
        second()
        self.position = new
        return True

    direction = 1

    def _documents(self, changes: Changes) -> None:
        for id, change in changes.items():
            self.mongo[self.name].update_one({"_id": id}, change.update(), upsert=True)

    def _position(self, new: str) -> None:
        self.mongo.projections.update_one({"_id": self.name}, {"$set": {"position": new}})


class Before(Outside):
    """Wrong on purpose: write the position first."""

    direction = -1


def project_wrongly(redis_url: str, mongo_url: str, kind: type[Projector]) -> None:
    store = EventStore(external.redis_at(redis_url), CATEGORY)
    mongo = external.mongodb_at(mongo_url)["eventlab"]
    kind(store, mongo, AccountView(COLLECTION), batch_size=100).run(threading.Event())


@pytest.mark.parametrize(("kind", "wrong"), [(Outside, 1), (Before, -1)])
def test_kills_reveal_a_position_that_is_written_separately(
    redis_server: RedisServer,
    mongod: MongoServer,
    tmp_path: Path,
    kind: type[Projector],
    wrong: int,
) -> None:
    with redis_server.client() as client, mongod.client() as mongo:
        store = EventStore(client, CATEGORY)
        database = mongo["eventlab"]
        args = (redis_server.url, mongod.url, kind)
        written = Written(redis_server, tmp_path, 3_000)
        written.end()
        for _ in range(50):
            store.append("0", [Event("deposit", {"amount": 1})] * 500, expected=ANY)
            before = _position(database)
            process = forked(project_wrongly, *args)
            process.start()
            wait_until(
                lambda before=before: _position(database) not in (before, "0-0", "None"), LONG
            )
            # While the position moves, the process is between its two steps most of the time.
            time.sleep(random.uniform(0, 0.2))
            process.kill()
            process.join()
            if _surplus(store, database) * wrong > 0:
                break
        last = forked(project_wrongly, *args)
        last.start()
        wait_until(lambda: _position(database) == store.head(), LONG)
        time.sleep(0.5)
        last.kill()
        last.join()
        counted = {d["_id"]: d["funds"] for d in database[COLLECTION].find()}
        right = {d["_id"]: d["funds"] for d in truth(store)["accounts"]}
        assert counted != right
        more = sum(counted.values()) - sum(right.values())
        assert more * wrong > 0, (
            "money appears if the position comes late, and is lost if it comes early"
        )


def _surplus(store: EventStore, database: Any) -> int:
    """Return by how much the documents hold more money than the events up to the position."""
    position = order(_position(database))
    counted = sum(document["funds"] for document in database[COLLECTION].find())
    for event in store.read_all():
        if order(event.position) <= position:
            amount = event.data.get("amount", 0)
            counted -= -amount if event.type == "withdraw" else amount
    return int(counted)


def _position(database: Any) -> str:
    return str((database.projections.find_one({"_id": COLLECTION}) or {}).get("position"))


def test_stopped_projector_is_replaced_and_changes_nothing_when_it_wakes(
    redis_server: RedisServer, mongod: MongoServer, tmp_path: Path
) -> None:
    only = [*PROJECT, "--view", "accounts", "--verbose"]
    with (
        redis_server.client() as client,
        mongod.client() as mongo,
        Crew(redis_server, mongod, only, 2) as crew,
    ):
        store = EventStore(client, CATEGORY)
        database = mongo["eventlab"]
        written = Written(redis_server, tmp_path, 60_000, pause=0.002)
        wait_until(lambda: sum(" events up to " in line for line in crew.log_lines) > 20, LONG)
        active, other = crew.processes
        other.send_signal(signal.SIGSTOP)
        _wait_for_moves(database, 3)  # now the one that runs is active
        active.send_signal(signal.SIGSTOP)
        other.send_signal(signal.SIGCONT)
        begun = time.monotonic()
        _wait_for_moves(database, 3)
        took = time.monotonic() - begun
        assert took < 45  # MongoDB itself ends a dead transaction after 60 s
        time.sleep(max(0.0, 20 - took))
        moved = _position(database)
        active.send_signal(signal.SIGCONT)
        _wait_for_moves(database, 3)
        assert order(_position(database)) >= order(moved)
        written.process.kill()
        written.process.join()
        wait_until(lambda: _position(database) == store.head(), LONG)
        assert by_id(held(database))["accounts"] == by_id(truth(store))["accounts"]
    print(f"\ntaken over after {took:.1f} s")


def _wait_for_moves(database: Any, number: int) -> None:
    """Wait until the position has moved a number of times: more than a batch in progress can."""
    for _ in range(number):
        before = _position(database)
        wait_until(lambda before=before: _position(database) != before, LONG)


@pytest.mark.parametrize("which", ["redis", "mongod"])
def test_projector_waits_while_a_server_is_down_logs_it_once_and_resumes(
    redis_server: RedisServer, mongod: MongoServer, tmp_path: Path, which: str
) -> None:
    only = [*PROJECT, "--view", "accounts"]
    server: RedisServer | MongoServer = redis_server if which == "redis" else mongod
    with (
        redis_server.client() as client,
        mongod.client() as mongo,
        Crew(redis_server, mongod, only, 1) as crew,
    ):
        store = EventStore(client, CATEGORY)
        database = mongo["eventlab"]
        store.append("a", [Event("create")], expected=0)
        wait_until(lambda: _position(database) == store.head() and crew.log_lines, LONG)
        server.kill()
        if which == "mongod":
            store.append("a", [Event("deposit", {"amount": 7})], expected=1)
        wait_until(lambda: "waiting" in crew.log_lines[-1], LONG)
        time.sleep(8)  # longer than one more attempt, which must log nothing
        server.start()
        if which == "redis":
            store.append("a", [Event("deposit", {"amount": 7})], expected=1)
        wait_until(lambda: _position(database) == store.head(), LONG)
        assert crew.processes[0].poll() is None
        wait_until(lambda: "active" in crew.log_lines[-1], LONG)
    states = [line.split(": ")[1].strip() for line in crew.log_lines]
    assert states == ["active", "waiting", "active"]


def test_mongod_without_replica_set_is_reported(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    mongod = MongoServer(tmp_path / "alone", replica_set=False)
    try:
        with redis_server.client() as client, mongod.client() as mongo:
            store = EventStore(client, CATEGORY)
            store.append("a", [Event("create")], expected=0)
            with (
                pytest.raises(NoReplicaSet, match=r"rs\.initiate"),
                Projector(store, mongo["eventlab"], AccountView()) as p,
            ):
                p.run_once()
            with Crew(redis_server, mongod, PROJECT, 1) as crew:
                assert crew.processes[0].wait(LONG) == 1
            assert "rs.initiate" in "".join(crew.log_lines)
            assert len(crew.log_lines) == 1
    finally:
        mongod.kill()


# ------------------------------------------------------------------------------------ rebuild


def read_all_the_time(url: str, path: str, stop: Any) -> None:
    """Read 100 times a second, by id and by cursor, and record every impossible result."""
    mongo = external.mongodb_at(url)["eventlab"]
    accounts = mongo[COLLECTION]
    newest = Counter[str]()
    polls = 0
    ended = 0
    wrong_results = list[str]()
    while not stop.is_set():
        begun = time.monotonic()
        id = str(polls % ACCOUNTS)
        document = accounts.find_one(id)
        if document is None or document["version"] < newest[id]:
            wrong_results.append(f"{id}: {document} after {newest[id]}")
        newest[id] = (document or newest)["version"]
        if polls % 25 == 0:
            try:
                seen = {each["_id"]: each["version"] for each in accounts.find().batch_size(20)}
            except OperationFailure:
                ended += 1  # an open cursor ends with an error: ask again
            else:
                wrong_results += [f"{len(seen)} accounts"] * (len(seen) != ACCOUNTS)
                wrong_results += [
                    f"{i}: {v} after {newest[i]}" for i, v in seen.items() if v < newest[i]
                ]
        polls += 1
        time.sleep(max(0.0, 0.01 - (time.monotonic() - begun)))
    Path(path).write_text("\n".join([f"{polls} polls, {ended} cursors ended", *wrong_results]))


@pytest.fixture
def busy_system(redis_server: RedisServer, mongod: MongoServer, tmp_path: Path) -> Iterator[Any]:
    """Three projectors, a writer, a reader, and accounts, half of which get no new events."""
    stop = FORKSERVER.Event()
    with (
        redis_server.client() as client,
        mongod.client() as mongo,
        Crew(redis_server, mongod, PROJECT, 3) as crew,
    ):
        store = EventStore(client, CATEGORY)
        database = mongo["eventlab"]
        written = Written(redis_server, tmp_path, 30_000, pause=0.003)
        wait_until(
            lambda: (
                written.so_far() > 4_000 and database[COLLECTION].count_documents({}) == ACCOUNTS
            ),
            LONG,
        )
        reader = forked(read_all_the_time, mongod.url, str(tmp_path / "seen"), stop)
        reader.start()
        yield store, database, crew, written
        stop.set()
        reader.join(LONG)
        seen = (tmp_path / "seen").read_text().splitlines()
        print("\n" + seen[0])
        assert seen[1:] == []
        assert int(seen[0].split()[0]) > 100


@pytest.mark.parametrize("trimmed", [False, True], ids=["whole", "trimmed"])
def test_rebuild_under_load_is_exact_and_no_reader_sees_a_gap(
    busy_system: Any, trimmed: bool
) -> None:
    store, database, crew, written = busy_system
    if trimmed:
        wait_until(lambda: _trim(store, written.so_far() // 2) > 1_000, LONG)
    for view in views(COLLECTION).values():
        database[view.name].create_index("nothing")
    for _ in range(4):
        for view in views(COLLECTION).values():
            _rebuild(store, database, view)
    assert written.process.is_alive()
    written.process.kill()
    written.process.join()
    wait_until(lambda: all_caught_up(store, database), LONG)
    expected = by_id(_truth_from_aggregate_logs(store))
    assert by_id(held(database)) == expected
    assert database[COLLECTION].index_information().keys() == {"_id_", "nothing_1"}
    assert not [name for name in database.list_collection_names() if "rebuild" in name]
    groups = {group["name"].decode() for group in store.redis.xinfo_groups(CATEGORY)}
    assert groups == {view_group(view.name) for view in views(COLLECTION).values()}
    assert all(process.poll() is None for process in crew.processes)


def _rebuild(store: EventStore, database: Any, view: View) -> None:
    with Projector(store, database, view) as projector:
        assert projector.rebuild(progress=False) > 1_000


def _trim(store: EventStore, number: int) -> int:
    from eventlab import TrimRefused

    [*_, event] = store.read_all(limit=number)
    with contextlib.suppress(TrimRefused):
        return store.trim(before=event.position)
    return 0


def _truth_from_aggregate_logs(store: EventStore) -> dict[str, list[dict[str, Any]]]:
    events = sorted(
        (e for id in store.ids() for e in store.read(id)), key=lambda event: order(event.position)
    )
    whole = type("Whole", (), {"read_all": lambda _self: events})()
    return truth(whole)
