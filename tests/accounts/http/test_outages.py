"""Redis or MongoDB is down, hangs, is full, or is a replica: 503, and nothing else stops."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import requests

from eventlab import EventStore
from eventlab.accounts import AccountService
from eventlab.accounts.http import listing, threads
from eventlab.accounts.http.app import create_app
from eventlab.lessons.ports import free_port
from eventlab.lessons.redis_nodes import Node
from eventlab.servers import Lab, connect
from tests.support.accounts_api import Served, in_a_thread, message, serving
from tests.support.crash_servers import MongoServer
from tests.support.servers import is_alive, kill, pids, running
from tests.support.waiting import PATIENCE_SECONDS, wait_until

READERS = 60  # more than the threads of the service
OUTAGE_SECONDS = 10.0  # what a call may take here: longer than a busy machine stalls


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    server = Node(tmp_path / "redis", free_port(), "--save", "")
    yield server
    server.close()


@pytest.fixture
def client(node: Node) -> Iterator[redis.Redis]:
    """Connect to the same Redis once, and wait as long as it is stopped."""
    with redis.Redis(
        port=node.port, decode_responses=True, socket_timeout=PATIENCE_SECONDS
    ) as patient:
        yield patient


@pytest.fixture
def own(
    node: Node, client: redis.Redis, tmp_path: Path
) -> Iterator[tuple[Served, Node, MongoServer]]:
    """Run the service on a separate Redis and MongoDB."""
    (tmp_path / "mongo").mkdir()
    mongo = MongoServer(tmp_path / "mongo")
    urls = {
        "EVENTLAB_REDIS_URL": f"redis://127.0.0.1:{node.port}",
        "EVENTLAB_MONGODB_URL": mongo.url,
    }
    try:
        with mongo.client() as documents:
            lab = Lab(client, documents.eventlab, sockets={}, data=None)
            with serving(lab, "accounts", environment=urls, call_seconds=OUTAGE_SECONDS) as api:
                yield api, node, mongo
    finally:
        mongo.kill()


def assert_503(response: requests.Response, server: str) -> None:
    """Assert that a response says which server to wait for."""
    assert response.status_code == 503
    assert message(response).startswith(server)
    assert response.headers["Retry-After"] == "1"


def test_hung_redis_is_503_before_a_client_loses_patience(
    own: tuple[Served, Node, MongoServer], client: redis.Redis
) -> None:
    api, node, _ = own
    id = api.opened(5)
    other = api.opened()
    before = connections_received(client)
    node.stop()
    transfer = {"from": id, "to": other, "amount": 1}
    with ThreadPoolExecutor() as callers:
        hung = [
            callers.submit(api.post, "/transfers", transfer, Idempotency_Key="t"),
            callers.submit(api.get, f"/accounts/{id}"),
            callers.submit(deposit, api, id),
            callers.submit(api.get, "/readyz"),
        ]
        assert api.get("/healthz").ok
        for call in hung:
            assert_503(call.result(), "Redis")
    node.resume()
    again = wait_until(lambda: deposited(api, id))
    # None of the 4 calls was tried again: redis-py would try each 11 times.
    assert connections_received(client) - before <= 2 * 4
    assert again.json() == {"id": id, "amount": 7}
    assert api.get(f"/accounts/{id}").json()["funds"] == 12


def deposit(api: Served, id: str) -> requests.Response:
    """Make the same deposit each time, which counts once."""
    return api.post(f"/accounts/{id}/deposits", {"amount": 7}, Idempotency_Key="k")


def deposited(api: Served, id: str) -> requests.Response | None:
    """Repeat the deposit; return its response, or None while the service is not ready."""
    response = deposit(api, id)
    return response if response.ok else None


def test_hung_mongodb_never_stops_a_deposit(own: tuple[Served, Node, MongoServer]) -> None:
    api, _, mongo = own
    id = api.opened(5)
    mongod = psutil.Process(mongo.pid)
    mongod.suspend()
    try:
        with ThreadPoolExecutor(READERS) as readers:
            listings = [readers.submit(api.get, "/accounts") for _ in range(READERS)]
            for _ in range(10):
                assert api.post(f"/accounts/{id}/deposits", {"amount": 1}).status_code == 200
            assert_503(api.get("/readyz"), "MongoDB")
            assert api.get("/readyz?exclude=mongodb").status_code == 200
            for listing in listings:
                assert_503(listing.result(), "MongoDB")
    finally:
        mongod.resume()
    assert wait_until(lambda: api.get("/readyz").ok)
    assert wait_until(lambda: api.get("/accounts").ok)  # its threads may still hang


def test_listings_that_hang_take_no_thread_of_the_other_routes(
    service: AccountService, mongo: Any, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hang in the service, because MongoDB's driver would end them after two seconds."""
    hangs = threading.Event()
    plain = listing.page

    def page(*args: Any, **options: Any) -> Any:
        hangs.wait(60)
        return plain(*args, **options)

    monkeypatch.setattr(listing, "page", page)
    monkeypatch.setattr(threads, "CALL_SECONDS", 0.05)
    service.create("a")
    with (
        in_a_thread(create_app(service, mongo[category])) as url,
        ThreadPoolExecutor(READERS) as readers,
    ):
        try:
            for response in readers.map(requests.get, [f"{url}/accounts"] * READERS):
                assert_503(response, "MongoDB")
            # Their threads hang still.
            deposit = requests.post(f"{url}/accounts/a/deposits", json={"amount": 1}, timeout=30)
            assert deposit.status_code == 200
        finally:
            hangs.set()


def test_connections_of_the_service_give_up_on_a_hung_server(
    node: Node, client: redis.Redis, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTLAB_REDIS_URL", f"redis://127.0.0.1:{node.port}")
    with connect(timeout=OUTAGE_SECONDS) as limited:
        assert limited.redis.ping()
        pool = limited.redis.connection_pool
        connection = pool.get_connection()
        assert connection.socket_timeout == connection.socket_connect_timeout == OUTAGE_SECONDS
        pool.release(connection)
        before = connections_received(client)
        node.stop()
        with pytest.raises(redis.TimeoutError):
            limited.redis.ping()
        node.resume()
        client.ping()  # Redis accepts what has connected meanwhile, at the latest in the same turn
        assert connections_received(client) == before  # it was not tried again, on another one
        options = limited.mongo.client.options
        limits = (options.pool_options.connect_timeout, options.pool_options.socket_timeout)
        assert (options.server_selection_timeout, *limits) == (OUTAGE_SECONDS,) * 3
        assert not options.retry_reads


def break_its_disk(client: redis.Redis) -> None:
    config = client.config_get("*")
    (Path(config["dir"]) / config["dbfilename"]).mkdir()
    client.config_set("save", "3600 1")
    client.bgsave()
    assert wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


CONDITIONS = {
    "on a broken disk": break_its_disk,
    "too few replicas": lambda redis: redis.config_set("min-replicas-to-write", 1),
    "full": lambda redis: redis.config_set("maxmemory", 1),
    "a replica": lambda redis: redis.replicaof("127.0.0.1", free_port()),
}
ENDS: list[Callable[[redis.Redis], object]] = [
    lambda redis: redis.config_set("save", ""),
    lambda redis: redis.config_set("min-replicas-to-write", 0),
    lambda redis: redis.config_set("maxmemory", 0),
    lambda redis: redis.replicaof("NO", "ONE"),
]


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.usefixtures("patient")
def test_redis_that_rejects_writes_is_503_and_not_ready(
    client: redis.Redis, condition: str
) -> None:
    service = AccountService(EventStore(client, "accounts"))
    service.create("a")
    with in_a_thread(create_app(service)) as url:
        assert requests.get(f"{url}/readyz", timeout=30).ok
        CONDITIONS[condition](client)
        deposit = requests.post(f"{url}/accounts/a/deposits", json={"amount": 1}, timeout=30)
        assert_503(deposit, "Redis")
        assert_503(requests.get(f"{url}/readyz", timeout=30), "Redis")
        for end in ENDS:
            end(client)
        assert wait_until(lambda: requests.get(f"{url}/readyz", timeout=30).ok)
    assert service.accounts.store.version("a") == 1


@pytest.mark.parametrize("command", ["xadd", "rpush", "sadd"])
@pytest.mark.usefixtures("patient")
def test_missing_permission_is_503_and_not_ready(client: redis.Redis, command: str) -> None:
    service = AccountService(EventStore(client, "accounts"))
    service.create("a")
    with in_a_thread(create_app(service)) as url:
        client.execute_command("ACL", "SETUSER", "default", f"-{command}")
        ready = requests.get(f"{url}/readyz", timeout=30)
        assert ready.status_code == 503
        assert message(ready).startswith("Redis denies access to this service")
        created = requests.post(f"{url}/accounts", json={"id": "b"}, timeout=30)
        assert created.status_code == 503
        client.execute_command("ACL", "SETUSER", "default", f"+{command}")
        assert requests.get(f"{url}/readyz", timeout=30).ok


def test_replica_loses_its_connections_so_that_a_moved_name_is_followed(
    node: Node, client: redis.Redis
) -> None:
    with redis.Redis(port=node.port, decode_responses=True) as own:
        service = AccountService(EventStore(own, "accounts"))
        service.create("a")
        with in_a_thread(create_app(service)) as url:
            client.replicaof("127.0.0.1", free_port())
            before = connections_received(client)
            for count in range(3):
                deposit = requests.post(
                    f"{url}/accounts/a/deposits", json={"amount": 1}, timeout=30
                )
                assert_503(deposit, "Redis")
                assert connections_received(client) >= before + count


def connections_received(client: redis.Redis) -> int:
    """Return how many connections a Redis has accepted."""
    return int(client.info("stats")["total_connections_received"])


@pytest.mark.parametrize("server", ["redis", "mongod", "supervisor"])
def test_private_server_that_is_killed_is_started_again_for_the_service(
    tmp_path: Path, server: str
) -> None:
    with (
        connect(tmp_path / "data") as lab,
        serving(lab, "accounts", environment={"EVENTLAB_DATA": str(tmp_path / "data")}) as api,
    ):
        id = api.opened(5)
        found = running(tmp_path / "data")
        # While an fsync takes long, Redis delays what it writes to its log.
        assert lab.redis.execute_command("WAITAOF", 1, 0, 0)[0] == 1
        killed = pids(found) if server == "supervisor" else [found.pids[server]]
        kill(killed[0])
        # The servers of a killed supervisor end a moment later, and respond until then.
        assert wait_until(lambda: not any(map(is_alive, killed)))
        assert wait_until(lambda: deposited(api, id))
        assert wait_until(lambda: api.get("/readyz").ok)
        assert api.get(f"/accounts/{id}").json()["funds"] == 12


def test_stopped_service_ends_while_mongodb_hangs(own: tuple[Served, Node, MongoServer]) -> None:
    api, _, mongo = own
    mongod = psutil.Process(mongo.pid)
    mongod.suspend()
    try:
        assert_503(api.get("/accounts"), "MongoDB")
        os.kill(api.process.pid, signal.SIGTERM)
        assert api.process.wait(PATIENCE_SECONDS) == 0
    finally:
        mongod.resume()
