"""The command lines, sockets and files of Redis and mongod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eventlab.servers.binaries import Binary

REDIS = "redis"
MONGOD = "mongod"
REPLICA_SET = "rs0"


@dataclass(frozen=True)
class Server:
    """The settings of one server, as plain values that can be sent to the supervisor as JSON."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    socket: str
    log: str


def redis_server(binary: Binary, *, data: Path, runtime: Path) -> Server:
    """Describe a Redis that listens only on a unix socket and fsyncs its log every second."""
    socket = runtime / "redis.sock"
    log = data / "redis.log"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data / REDIS),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        # Redis 8 and Valkey cannot read each other's RDB files, but both can read command logs.
        "aof-use-rdb-preamble": "no",
        "daemonize": "no",
    }
    argv = [str(binary.path)]
    for option, value in options.items():
        argv += [f"--{option}", value]
    return Server(REDIS, argv, dict(binary.env), str(socket), str(log))


def mongod(binary: Binary, *, data: Path, runtime: Path) -> Server:
    """Describe a small mongod that listens only on a unix socket, for a one-node replica set."""
    socket = runtime / "mongod.sock"
    log = data / "mongod.log"
    argv = [str(binary.path), "--dbpath", str(data / MONGOD)]
    # A mongod that is bound to a path opens no port. Without --nounixsocket, mongod would open a
    # second socket in the temp directory.
    argv += ["--bind_ip", str(socket), "--nounixsocket", "--filePermissions", "0700"]
    argv += ["--replSet", REPLICA_SET, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"]
    # Otherwise, an empty lab would consist mostly of three journal files of 100 MB.
    argv += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=4MB)"]
    # The diagnostic data grows to 200 MB, and nobody reads it here.
    argv += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    argv += ["--logpath", str(log), "--logappend", "--quiet"]
    return Server(MONGOD, argv, dict(binary.env), str(socket), str(log))
