"""The servers to measure, and the sizes of a run."""

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
    """A Redis client that returns bytes, its socket, a MongoDB database, and the sizes of a run."""

    redis: Any
    socket: str
    mongo: Database[dict[str, Any]]
    sizes: Sizes

    def environment(self) -> dict[str, str]:
        """Return environment variables that make another process use the same servers."""
        host, _ = self.mongo.client.address or ("", None)
        mongo = f"mongodb://{quote(host, safe='')}/{self.mongo.name}?directConnection=true"
        return os.environ | {
            external.REDIS_URL: f"unix://{self.socket}",
            external.MONGODB_URL: mongo,
        }

    @contextlib.contextmanager
    def name(self, benchmark: str) -> Iterator[str]:
        """Yield a prefix for the categories and collections of a benchmark.

        All keys and collections whose names contain the prefix are removed before and after the
        block.
        """
        name = f"bench_{benchmark}"
        self._remove(name)
        self.settle()
        try:
            yield name
        finally:
            self._remove(name)

    @contextlib.contextmanager
    def fsync(self, policy: str) -> Iterator[None]:
        """Set appendfsync during the ``with`` block."""
        before = self.redis.config_get("appendfsync")["appendfsync"]
        self.redis.config_set("appendfsync", policy)
        self.settle()
        try:
            yield
        finally:
            self.redis.config_set("appendfsync", before)

    def settle(self) -> None:
        """Wait until Redis is neither rewriting its AOF nor freeing memory in the background."""
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
    """Yield a bench that uses the running servers of a lab."""
    socket = lab.redis.connection_pool.connection_kwargs["path"]
    with redis.Redis(unix_socket_path=socket) as client:
        yield Bench(client, socket, lab.mongo, sizes)


@contextlib.contextmanager
def private_bench(sizes: Sizes) -> Iterator[Bench]:
    """Start private servers and yield a bench; stop them and delete their data afterwards."""
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
        # An AOF rewrite in the background would slow down the slice that is running.
        lab.redis.config_set("auto-aof-rewrite-percentage", 0)
        with bench_on(lab, sizes) as bench:
            yield bench
