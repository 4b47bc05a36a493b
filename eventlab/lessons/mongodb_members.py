"""A real three-member MongoDB replica set on loopback, whose members can be killed or stopped."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from eventlab.lessons.guard import guarded
from eventlab.lessons.ports import free_port
from eventlab.lessons.waiting import wait_until
from eventlab.servers.binaries import find_mongod
from eventlab.servers.config import REPLICA_SET

ELECTION_TIMEOUT_MS = 3000  # MongoDB's default is 10 s


class Member:
    """A mongod that can be killed, stopped, and restarted on the same port with the same data."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        binary = find_mongod(folder)
        self.port = free_port()
        self._argv = [str(binary.path), "--dbpath", str(folder), "--port", str(self.port)]
        self._argv += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", REPLICA_SET]
        self._argv += ["--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"]
        self._argv += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=4MB)"]
        self._argv += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        self._argv += ["--logpath", str(folder / "log"), "--quiet"]
        self._env = os.environ | dict(binary.env)
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            "127.0.0.1",
            self.port,
            directConnection=True,
            serverSelectionTimeoutMS=1000,
            socketTimeoutMS=1000,
        )
        self.start()

    @property
    def address(self) -> str:
        """The host and port of the member."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the mongod and wait until it responds."""
        self._process = guarded(self._argv, env=self._env)
        wait_until(lambda: self._hello())

    def _hello(self) -> dict[str, Any]:
        with contextlib.suppress(PyMongoError):
            return dict(self.client.admin.command("hello"))
        return {}

    def is_primary(self) -> bool:
        """Return whether the member is the primary."""
        return bool(self._hello().get("isWritablePrimary"))

    def is_secondary(self) -> bool:
        """Return whether the member is a secondary."""
        return bool(self._hello().get("secondary"))

    def kill(self) -> None:
        """Kill the mongod with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop the mongod with SIGSTOP: it keeps its connections but does not respond."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a stopped mongod."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill the mongod, even if SIGSTOP has suspended it."""
        self.client.close()
        self.resume()
        self.kill()


@dataclass
class ReplicaSet:
    """A replica set of three members, one of which is the primary."""

    members: list[Member]

    @property
    def url(self) -> str:
        """The URL of the replica set."""
        hosts = ",".join(member.address for member in self.members)
        return f"mongodb://{hosts}/eventlab?replicaSet={REPLICA_SET}"

    def primary(self, *, other_than: Member | None = None) -> Member:
        """Wait until there is a primary that is not ``other_than``, and return it."""
        others = [member for member in self.members if member is not other_than]
        return wait_until(lambda: [one for one in others if one.is_primary()])[0]

    def wait_until_complete(self) -> None:
        """Wait until there is a primary and two secondaries."""
        wait_until(
            lambda: (
                any(one.is_primary() for one in self.members)
                and sum(one.is_secondary() for one in self.members) == len(self.members) - 1
            )
        )


@contextlib.contextmanager
def replica_set_of_three(path: Path) -> Iterator[ReplicaSet]:
    """Run a replica set of three members during the ``with`` block."""
    with contextlib.ExitStack() as stack:
        members = []
        for number in range(3):
            member = Member(path / f"member{number}")
            stack.callback(member.close)
            members.append(member)
        hosts = [{"_id": number, "host": one.address} for number, one in enumerate(members)]
        config = {
            "_id": REPLICA_SET,
            "members": hosts,
            "settings": {"electionTimeoutMillis": ELECTION_TIMEOUT_MS},
        }
        patient: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            "127.0.0.1", members[0].port, directConnection=True
        )
        with patient:
            patient.admin.command("replSetInitiate", config)
        found = ReplicaSet(members)
        found.wait_until_complete()
        yield found
