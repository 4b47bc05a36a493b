"""How each of the two servers is started: command line, socket, files."""

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
    """How to start one server, in plain values: it is sent to the supervisor as JSON."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    socket: str
    log: str


def redis_server(binary: Binary, *, data: Path, runtime: Path) -> Server:
    """Describe a Redis on a unix socket only, with an append-only file fsynced every second."""
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
        # Redis 8 and Valkey do not read each other's RDB, but each other's commands.
        "aof-use-rdb-preamble": "no",
        "daemonize": "no",
    }
    argv = [str(binary.path)]
    for option, value in options.items():
        argv += [f"--{option}", value]
    return Server(REDIS, argv, dict(binary.env), str(socket), str(log))


def mongod(binary: Binary, *, data: Path, runtime: Path) -> Server:
    """Describe a small mongod on a unix socket only, ready to be a one-node replica set."""
    socket = runtime / "mongod.sock"
    log = data / "mongod.log"
    argv = [str(binary.path), "--dbpath", str(data / MONGOD)]
    # Bound to a path, mongod opens no port. Without --nounixsocket it would add a second socket in
    # the temp directory.
    argv += ["--bind_ip", str(socket), "--nounixsocket", "--filePermissions", "0700"]
    argv += ["--replSet", REPLICA_SET, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"]
    # Three journal files of 100 MB would be most of an empty lab.
    argv += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=4MB)"]
    # Nobody reads its diagnostic data here, which grows to 200 MB.
    argv += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    argv += ["--logpath", str(log), "--logappend", "--quiet"]
    return Server(MONGOD, argv, dict(binary.env), str(socket), str(log))
