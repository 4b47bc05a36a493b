"""The bench: the servers that are measured, and how much is done on them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from pymongo.database import Database

from benchmarks.sizes import Sizes
from eventlab.servers import Lab, connect, external, starter


@dataclass(frozen=True)
class Bench:
    """A Redis that gives bytes, by its socket, a MongoDB database, and the sizes of the run."""

    redis: Any
    socket: str
    mongo: Database[dict[str, Any]]
    sizes: Sizes

    def environment(self) -> dict[str, str]:
        """What a process must know to work on the same servers."""
        host, _ = self.mongo.client.address or ("", None)
        mongo = f"mongodb://{quote(host, safe='')}/{self.mongo.name}?directConnection=true"
        return os.environ | {
            external.REDIS_URL: f"unix://{self.socket}",
            external.MONGODB_URL: mongo,
        }

    @contextlib.contextmanager
    def name(self, work: str) -> Iterator[str]:
        """A name for a work's categories and collections; what has it in its own is removed at the end."""
        name = f"bench_{work}"
        self._remove(name)
        self.settle()
        try:
            yield name
        finally:
            self._remove(name)

    @contextlib.contextmanager
    def fsync(self, policy: str) -> Iterator[None]:
        """Redis at this appendfsync, for the length of a with block."""
        before = self.redis.config_get("appendfsync")["appendfsync"]
        self.redis.config_set("appendfsync", policy)
        self.settle()
        try:
            yield
        finally:
            self.redis.config_set("appendfsync", before)

    def settle(self) -> None:
        """Wait until Redis does nothing in the background: no rewrite of its file, no freeing of what was removed."""
        while True:
            info = self.redis.info("all")
            busy = (
                info["aof_rewrite_in_progress"]
                or info["aof_rewrite_scheduled"]
                or info["lazyfree_pending_objects"]
            )
            if not busy:
                return
            time.sleep(0.01)

    def _remove(self, name: str) -> None:
        for key in self.redis.scan_iter(match=f"*{name}*", count=10_000):
            self.redis.unlink(key)
        for collection in self.mongo.list_collection_names(filter={"name": {"$regex": name}}):
            self.mongo.drop_collection(collection)


@contextlib.contextmanager
def bench_on(lab: Lab, sizes: Sizes) -> Iterator[Bench]:
    """A bench on servers that run."""
    socket = lab.redis.connection_pool.connection_kwargs["path"]
    with redis.Redis(unix_socket_path=socket) as client:
        yield Bench(client, socket, lab.mongo, sizes)


@contextlib.contextmanager
def private_bench(sizes: Sizes) -> Iterator[Bench]:
    """A bench on servers of its own, which are gone with all their data at the end."""
    for variable in (external.REDIS_URL, external.MONGODB_URL):
        os.environ.pop(variable, None)
    with (
        tempfile.TemporaryDirectory(prefix="eventlab-bench-") as directory,
        contextlib.ExitStack() as closing,
    ):
        data = Path(directory)
        lab = connect(data=data)
        closing.callback(starter.stop, data)
        closing.callback(lab.close)
        # A copy of the whole made in the background, amid a slice, would say nothing about either way.
        lab.redis.config_set("auto-aof-rewrite-percentage", 0)
        with bench_on(lab, sizes) as bench:
            yield bench
