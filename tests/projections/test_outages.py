"""A projector waits while a server is down, fails over, is full or read-only, and resumes."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo.database import Database
from pymongo.errors import PyMongoError

from eventlab import Event, EventStore, Misconfigured, Projector
from eventlab.accounts import AccountView
from eventlab.projections.checkpoint import Checkpoint
from eventlab.slices.checkpoints import SlicedCheckpoint
from eventlab.store.answers import is_outage
from tests.projections.support import fill, funds
from tests.support.cluster import cluster
from tests.support.crash_servers import MongoServer, RedisServer, redis_server
from tests.support.waiting import wait_until

__all__ = ["redis_server"]


@contextlib.contextmanager
def running(projector: Projector) -> Iterator[threading.Thread]:
    """Run a projector in a thread; it must still run at the end."""
    stop = threading.Event()
    options = {"poll_interval": 0.2}
    thread = threading.Thread(target=projector.run, args=(stop,), kwargs=options)
    thread.start()
    try:
        yield thread
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def states(caplog: pytest.LogCaptureFixture) -> Any:
    """A function that returns the states that were logged, without their reasons."""
    caplog.set_level(logging.INFO, "eventlab")

    def logged() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        return [text.split(": ")[1] for text in messages if text.startswith("view ")]

    return logged


@pytest.fixture
def away(
    redis_server: RedisServer, mongo: Database[dict[str, Any]], category: str, documents: Any
) -> Iterator[tuple[redis.Redis, EventStore, Projector]]:
    """A Redis of this test's own, a store and a projector on it."""
    with redis_server.client() as client:
        store = EventStore(client, category)
        with Projector(store, mongo, AccountView(category)) as projector:
            yield client, store, projector


def blocked(client: redis.Redis) -> bool:
    return bool(client.info("clients")["blocked_clients"])


def test_projector_resumes_after_a_failover_that_aborts_its_blocked_read(
    away: tuple[redis.Redis, EventStore, Projector], documents: Any, states: Any
) -> None:
    client, store, projector = away
    fill(store, 3)
    with running(projector):
        for total in (3, 4, 5):
            assert wait_until(lambda total=total: funds(documents) == total)
            assert wait_until(lambda: blocked(client))
            client.replicaof("127.0.0.1", 1)  # as a Sentinel or a cluster demotes a master
            client.replicaof("NO", "ONE")
            fill(store, 1)
        assert wait_until(lambda: funds(documents) == 6)
    for first, second in zip(states(), states()[1:], strict=False):
        assert first != second  # each outage is logged once


def make_read_only(client: redis.Redis, folder: Path) -> None:
    client.replicaof("127.0.0.1", 1)


def fill_up(client: redis.Redis, folder: Path) -> None:
    client.config_set("maxmemory", 1)


def break_its_disk(client: redis.Redis, folder: Path) -> None:
    (folder / "dump.rdb").mkdir()
    client.config_set("save", "3600 1")
    client.bgsave()
    assert wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


def take_its_replicas(client: redis.Redis, folder: Path) -> None:
    client.config_set("min-replicas-to-write", 1)


@pytest.mark.parametrize(
    "harm",
    [make_read_only, fill_up, break_its_disk, take_its_replicas],
    ids=lambda each: each.__name__,
)
def test_redis_that_takes_no_writes_stops_no_view_and_is_logged_once(
    away: tuple[redis.Redis, EventStore, Projector],
    tmp_path: Path,
    documents: Any,
    caplog: pytest.LogCaptureFixture,
    harm: Any,
) -> None:
    client, store, projector = away
    fill(store, 12)
    projector._batch_limit = projector._batch_size = 2  # several batches, and positions to show
    harm(client, tmp_path)
    with pytest.raises(redis.ResponseError):
        client.set("probe", 1)
    with running(projector):
        assert wait_until(lambda: funds(documents) == 12)
    warnings = [
        each for each in caplog.records if "cannot publish its position" in each.getMessage()
    ]
    assert len(warnings) <= 1


def test_projector_waits_while_another_shard_of_a_cluster_is_down(
    mongo: Database[dict[str, Any]],
    category: str,
    documents: Any,
    states: Any,
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as client:
        store = EventStore(client, category)
        mine = client.keyslot(category)
        slot = (mine + 6000) % 16384  # of another master
        nodes = [redis.Redis(host=node.host, port=node.port) for node in client.get_nodes()]
        with contextlib.ExitStack() as closing:
            for node in nodes:
                closing.enter_context(node)
            with Projector(store, mongo, AccountView(category)) as projector, running(projector):
                fill(store, 3)
                assert wait_until(lambda: funds(documents) == 3)
                assert wait_until(lambda: states() == ["active"])  # it reads on after its commit
                owner = client.nodes_manager.get_node_from_slot(slot)
                for node in nodes:
                    node.execute_command("CLUSTER", "DELSLOTS", slot)
                assert wait_until(lambda: states()[-1:] == ["waiting"])
                there = redis.Redis(host=owner.host, port=owner.port)
                there.execute_command("CLUSTER", "ADDSLOTS", slot)
                there.close()
                assert wait_until(lambda: states()[-1:] == ["active"])
                fill(store, 3)
                assert wait_until(lambda: funds(documents) == 6)
    assert states() == ["active", "waiting", "active"]


def test_cluster_that_is_down_when_a_position_is_published_is_an_outage(
    mongo: Database[dict[str, Any]],
    category: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with cluster(tmp_path) as client:
        mine = client.nodes_manager.get_node_from_slot(client.keyslot(category))
        slot = (client.keyslot(category) + 6000) % 16384
        with (
            redis.Redis(host=mine.host, port=mine.port) as direct,
            Projector(EventStore(direct, category), mongo, AccountView(category)) as projector,
        ):
            for node in client.get_nodes():  # all of them, or the owner claims the slot again
                with redis.Redis(host=node.host, port=node.port) as there:
                    there.execute_command("CLUSTER", "DELSLOTS", slot)
            with pytest.raises(redis.exceptions.ClusterDownError):
                projector._checkpoint.show("1-1")
    assert "cannot publish" not in caplog.text


# ------------------------------------------------------------------ MongoDB


PROJECTOR = "projector"  # the name by which the failing mongod knows whose commands are to fail


class FailingMongo(MongoServer):
    """A mongod whose commands can be made to fail."""

    def start(self) -> None:
        if "enableTestCommands=1" not in self._argv:
            self._argv += ["--setParameter", "enableTestCommands=1"]
        super().start()

    def fail(self, command: str, code: int, *, times: int, done: bool = False) -> None:
        """Let a command fail; if ``done``, MongoDB executes it before it reports the error."""
        mode = {"times": times} if times else "off"
        error = {"code": code, "errmsg": "interrupted"}
        how = {"writeConcernError": error} if done else {"errorCode": code}
        data = {"failCommands": [command], "appName": PROJECTOR} | how
        with self.client() as client:
            client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)


class UnreadyMongo(MongoServer):
    """A mongod that is no member of a replica set yet, as it is for a moment after each start."""

    is_awaited = False

    def make_ready(self) -> None:
        if self.is_awaited:
            super().make_ready()


def test_projector_follows_a_mongod_that_was_starting_when_it_connected(
    store: EventStore, states: Any, tmp_path: Path
) -> None:
    server = UnreadyMongo(tmp_path)
    try:
        with (
            server.client(serverSelectionTimeoutMS=5_000) as client,
            Projector(store, client["eventlab"], AccountView(store.category)) as projector,
            running(projector),
        ):
            assert wait_until(lambda: states() == ["waiting"])
            server.is_awaited = True
            server.make_ready()
            fill(store, 3)
            with server.client() as other:
                assert wait_until(lambda: funds(other["eventlab"][store.category]) == 3)
            assert wait_until(lambda: states()[-1] == "active")
    finally:
        server.kill()


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingMongo]:
    server = FailingMongo(tmp_path_factory.mktemp("m"))
    yield server
    server.kill()


@pytest.fixture
def view_there(
    failing: FailingMongo, store: EventStore
) -> Iterator[tuple[Projector, Database[dict[str, Any]]]]:
    with (
        failing.client(appname=PROJECTOR) as client,
        failing.client() as other,
        Projector(store, client["eventlab"], AccountView(store.category)) as projector,
    ):
        yield projector, other["eventlab"]


@pytest.mark.parametrize("code", [50, 262, 365, 14031])
@pytest.mark.parametrize("command", ["find", "update", "commitTransaction"])
def test_projector_waits_for_a_mongodb_that_fails_over_is_full_or_slow(
    failing: FailingMongo,
    view_there: tuple[Projector, Database[dict[str, Any]]],
    store: EventStore,
    states: Any,
    code: int,
    command: str,
) -> None:
    projector, database = view_there
    documents = database[store.category]
    fill(store, 3)
    failing.fail(command, code, times=4)
    with running(projector):
        assert wait_until(lambda: funds(documents) == 3)
    # Whether a commit has failed is unknown: then it is repeated at once.
    assert states() == ["waiting", "active"] or command == "commitTransaction"


@pytest.mark.parametrize("code", [388, 10334, 17280])
def test_batch_that_mongodb_cannot_take_is_halved(
    failing: FailingMongo,
    view_there: tuple[Projector, Database[dict[str, Any]]],
    store: EventStore,
    states: Any,
    code: int,
) -> None:
    projector, database = view_there
    fill(store, 16)
    projector.run_once()
    fill(store, 16)
    failing.fail("update", code, times=2)
    assert projector.run_once() == 0
    assert projector.run_once() == 0
    assert projector.run_once() == 4
    assert projector.catch_up() == 12
    assert funds(database[store.category]) == 32


@pytest.mark.parametrize("code", [13, 59, 115, 8000])
def test_refused_kill_of_sessions_stops_nothing_and_is_logged_once(
    failing: FailingMongo,
    view_there: tuple[Projector, Database[dict[str, Any]]],
    store: EventStore,
    caplog: pytest.LogCaptureFixture,
    code: int,
) -> None:
    projector, _ = view_there
    with Projector(store, projector.mongo, AccountView(store.category)) as dead:
        dead.run_once()
        dead._session.get()
        failing.fail("killSessions", code, times=9)
        try:
            for _ in range(2):
                projector.reset()
                fill(store, 1)
                projector.catch_up()
        finally:
            failing.fail("killSessions", code, times=0)
    assert len([each for each in caplog.records if "killSessions" in each.getMessage()]) == 1


def test_kill_of_sessions_that_an_outage_prevents_is_tried_again(
    failing: FailingMongo,
    view_there: tuple[Projector, Database[dict[str, Any]]],
    store: EventStore,
) -> None:
    projector, database = view_there

    def kills() -> int:
        status = database.client.admin.command("serverStatus")
        return int(status["metrics"]["commands"]["killSessions"]["total"])

    with Projector(store, projector.mongo, AccountView(store.category)) as dead:
        dead._session.get()
        failing.fail("killSessions", 50, times=1)
        with pytest.raises(PyMongoError) as raised:
            projector._session.end_others()
        assert is_outage(raised.value)
        before = kills()
        projector._session.end_others()
        assert kills() == before + 1


def test_user_without_permissions_gets_a_one_sentence_error(
    failing: FailingMongo,
    view_there: tuple[Projector, Database[dict[str, Any]]],
    store: EventStore,
) -> None:
    projector, _ = view_there
    store.append("a", [Event("create")], expected=0)
    projector._read_position()
    failing.fail("update", 13, times=1)
    with pytest.raises(Misconfigured, match="MongoDB"):
        projector.run(threading.Event())


INTERRUPTED, TIMED_OUT, ABORTED = 11601, 64, 251  # MongoDB's error codes


@pytest.mark.parametrize("slices", [1, 64])
@pytest.mark.parametrize(
    ("code", "times", "done"),
    [
        (INTERRUPTED, 1, True),
        (INTERRUPTED, 2, True),
        (INTERRUPTED, 1, False),
        (TIMED_OUT, 2, True),
        (ABORTED, 2, False),
    ],
)
def test_rebuild_is_complete_when_the_commit_of_its_swap_is_interrupted(
    failing: FailingMongo,
    redis_client: redis.Redis,
    category: str,
    monkeypatch: pytest.MonkeyPatch,
    slices: int,
    code: int,
    times: int,
    done: bool,
) -> None:
    swaps = []

    def failing_once(plain: Any) -> Any:
        def decide(self: Any, rebuild: str) -> Any:
            if not swaps:
                failing.fail("commitTransaction", code, times=times, done=done)
            swaps.append(rebuild)
            return plain(self, rebuild)

        return decide

    for kind in (Checkpoint, SlicedCheckpoint):
        monkeypatch.setattr(kind, "decide_swap", failing_once(vars(kind)["decide_swap"]))
    store = EventStore(redis_client, category, slices=slices)
    for id in ("a", "b", "c"):
        store.append(id, [Event("create"), Event("deposit", {"amount": 5})], expected=0)
    with failing.client(appname=PROJECTOR) as client:
        with Projector(store, client["eventlab"], AccountView(category)) as projector:
            projector.catch_up()
            assert projector.rebuild(progress=False) == 6
            assert projector.catch_up() == 0
        assert funds(client["eventlab"][category]) == 15
        assert len(swaps) == (2 if code == ABORTED else 1)
