"""How each of the two servers is started: its command line, its socket, its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eventlab.servers.binaries import Binary

REDIS, MONGOD = "redis", "mongod"
REPLICA_SET = "rs0"


@dataclass(frozen=True)
class Server:
    """One server to be started, in plain values: it travels to the supervisor as JSON."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    socket: str
    log: str


def redis_server(binary: Binary, *, data: Path, runtime: Path) -> Server:
    """Describe a Redis on a unix socket only, that keeps what it is told (at most a second is lost to a power cut).

    Example: ``redis_server(find_redis(), data=data, runtime=runtime)``
    """
    socket, log = runtime / "redis.sock", data / "redis.log"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data / REDIS),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
    }
    argv = [str(binary.path)]
    for option, value in options.items():
        argv += [f"--{option}", value]
    return Server(REDIS, argv, dict(binary.env), str(socket), str(log))


def mongod(binary: Binary, *, data: Path, runtime: Path) -> Server:
    """Describe a small mongod on a unix socket only, ready to be a one-node replica set.

    Example: ``mongod(find_mongod(data), data=data, runtime=runtime)``
    """
    socket, log = runtime / "mongod.sock", data / "mongod.log"
    argv = [str(binary.path), "--dbpath", str(data / MONGOD)]
    # Bound to a path, mongod opens no port; without --nounixsocket it would add a second socket in the temp directory.
    argv += ["--bind_ip", str(socket), "--nounixsocket", "--filePermissions", "0700"]
    argv += ["--replSet", REPLICA_SET, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"]
    # The journal's three files of 100 MB would be the greater part of an empty lab.
    argv += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=4MB)"]
    # Nobody reads its diagnosis here, and that grows to 200 MB.
    argv += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
    argv += ["--logpath", str(log), "--logappend", "--quiet"]
    return Server(MONGOD, argv, dict(binary.env), str(socket), str(log))
