"""Servers as a user has them: a password, TLS, accounts, a cluster, and data of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pymongo
import redis

from eventlab import NEW, Event, EventStore
from eventlab.lessons.ports import free_port
from eventlab.servers import config
from eventlab.servers.binaries import find_mongod
from eventlab.servers.external import redis_at
from tests.support.cluster import cluster
from tests.support.own_redis import redis_process, tls_tunnel
from tests.support.waiting import wait_until

PASSWORD = "p@ss"
QUOTED = "p%40ss"
ON_DISK = ("--appendonly", "yes")


class Documents(NamedTuple):
    """What a collection holds: how many documents, and all of them with its indexes."""

    n: int
    stored: object


@dataclass
class OwnServers:
    """The URLs of a user's servers, and clients that see everything in them."""

    redis_url: str
    mongodb_url: str
    nodes: list[redis.Redis]
    mongo: pymongo.MongoClient[dict[str, Any]]

    def fill(self) -> None:
        """Store what a user may have there, under the library's default names too."""
        with contextlib.closing(redis_at(self.redis_url)) as client:
            client.set("session", "theirs", ex=86_400)
            for name in ("accountStream", "mailStream", "startHereToo"):
                EventStore(client, name).append("JohnDoe", [Event("create")], expected=NEW)
        for database in ("eventlab", "shop"):
            for name in ("accountCollection", "mailCollection", "orders"):
                self.mongo[database][name].insert_one({"_id": "JohnDoe", "funds": 70})
                self.mongo[database][name].create_index("funds", name="theirs")

    def contents(self) -> dict[str, object]:
        """Return all that is stored: keys, documents, indexes."""
        return dict([*self._keys(), *self._documents()])

    def settings(self) -> dict[str, object]:
        """Return how the servers are configured: settings, users, functions."""
        admin = self.mongo.admin
        parameters = admin.command("getParameter", "*")
        return {
            "config": [node.config_get("*") for node in self.nodes],
            "users": [node.acl_list() for node in self.nodes],
            "functions": [node.function_list() for node in self.nodes],
            "parameters": {k: v for k, v in parameters.items() if type(v) in (str, bool)},
            "accounts": [user["_id"] for user in admin.command("usersInfo")["users"]],
            "members": admin.command("replSetGetConfig")["config"]["members"],
        }

    def _keys(self) -> Iterator[tuple[str, object]]:
        for node in self.nodes:
            for key in node.scan_iter(count=1000):
                yield key.decode(), (node.dump(key), node.expiretime(key))

    def _documents(self) -> Iterator[tuple[str, object]]:
        for database in self.mongo.list_database_names():
            if database in ("local", "config", "admin"):  # MongoDB's own
                continue
            for name in self.mongo[database].list_collection_names():
                collection = self.mongo[database][name]
                documents = list(collection.find().sort("_id"))
                indexes = collection.index_information()
                yield f"{database}.{name}", Documents(len(documents), (documents, indexes))


@contextlib.contextmanager
def with_password_and_tls(folder: Path) -> Iterator[OwnServers]:
    """Run a Redis with a password behind TLS, and a MongoDB with accounts."""
    options = ("--requirepass", PASSWORD, "--appendfsync", "always", *ON_DISK)
    with (
        redis_process(folder, *options) as port,
        tls_tunnel(folder, port) as (tls_port, certificate),
        mongod_with_accounts(folder) as (mongodb_url, mongo),
        redis.Redis("127.0.0.1", port, password=PASSWORD) as zero,
        redis.Redis("127.0.0.1", port, 3, password=PASSWORD) as three,
    ):
        where = f"127.0.0.1:{tls_port}/3?ssl_ca_certs={certificate}"
        yield OwnServers(f"rediss://:{QUOTED}@{where}", mongodb_url, [zero, three], mongo)


@contextlib.contextmanager
def with_a_cluster(folder: Path) -> Iterator[OwnServers]:
    """Run a Redis Cluster of three masters, and a MongoDB with accounts."""
    with (
        cluster(folder, *ON_DISK) as whole,
        mongod_with_accounts(folder) as (mongodb_url, mongo),
    ):
        nodes = [node.redis_connection for node in whole.get_primaries()]
        hosts = ",".join(f"{node.host}:{node.port}" for node in whole.get_primaries())
        yield OwnServers(f"redis://{hosts}", mongodb_url, nodes, mongo)


@contextlib.contextmanager
def mongod_with_accounts(
    folder: Path,
) -> Iterator[tuple[str, pymongo.MongoClient[dict[str, Any]]]]:
    """Run a replica set of one that rejects strangers; yield a user's URL, and root's client."""
    (folder / config.MONGOD).mkdir()
    key = folder / "key"
    key.write_text("keyOfOneReplicaSet")
    key.chmod(0o600)
    binary, port = find_mongod(folder), free_port()
    argv = list(config.mongod(binary, data=folder, runtime=folder).argv)
    argv[argv.index("--bind_ip") + 1] = "127.0.0.1"
    argv += ["--port", str(port), "--keyFile", str(key)]
    host = f"127.0.0.1:{port}"
    with subprocess.Popen(
        argv, env=os.environ | dict(binary.env), stdout=subprocess.DEVNULL
    ) as process:
        try:
            with pymongo.MongoClient[dict[str, Any]](host, directConnection=True) as stranger:
                member = {"_id": 0, "host": host}
                stranger.admin.command(
                    "replSetInitiate", {"_id": config.REPLICA_SET, "members": [member]}
                )
                wait_until(lambda: stranger.admin.command("hello").get("isWritablePrimary"))
                stranger.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
            with pymongo.MongoClient[dict[str, Any]](
                host, username="root", password=PASSWORD, directConnection=True
            ) as root:
                rights = [{"role": "readWrite", "db": "eventlab"}]
                root.admin.command("createUser", "reader", pwd=PASSWORD, roles=rights)
                options = f"replicaSet={config.REPLICA_SET}&authSource=admin"
                yield f"mongodb://reader:{QUOTED}@{host}/eventlab?{options}", root
        finally:
            process.kill()
