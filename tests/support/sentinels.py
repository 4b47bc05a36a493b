"""A Redis master, its replica, and three Sentinels that watch them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eventlab.lessons.ports import free_port
from eventlab.lessons.redis_nodes import NODE_TIMEOUT_MS, Node
from tests.support.waiting import wait_until

MASTER_NAME = "mymaster"
#: A master that only stalls is never failed over: when it wakes, it would still confirm what it
#: has received, and then discard it.
STEADY_MS = 600_000
DOWN_AFTER = "down-after-milliseconds"


@dataclass
class Sentinels:
    """A master, its replica, and three Sentinels that watch them."""

    master: Node
    replica: Node
    sentinels: list[Node]

    @property
    def url(self) -> str:
        """The URL of the master that the Sentinels agree on."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER_NAME}/0"

    def promoted(self) -> bool:
        """Return whether the replica has become the master."""
        return self.replica.role() == "master"

    def set(self, option: str, value: int) -> None:
        """Change an option of all Sentinels."""
        for sentinel in self.sentinels:
            sentinel.client.execute_command("SENTINEL", "SET", MASTER_NAME, option, value)

    def promote(self) -> None:
        """Let the Sentinels notice that the master is down, and wait for the promotion."""
        self.set(DOWN_AFTER, NODE_TIMEOUT_MS)
        wait_until(self.promoted)
        self.set(DOWN_AFTER, STEADY_MS)


@contextlib.contextmanager
def sentinel_trio(path: Path) -> Iterator[Sentinels]:
    """Run a master with a replica and three Sentinels, which need two votes."""
    with contextlib.ExitStack() as stack:
        data = ["--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0"]
        master = Node(path / "master", free_port(), *data)
        stack.callback(master.close)
        follow = ["--replicaof", f"127.0.0.1 {master.port}"]
        replica = Node(path / "replica", free_port(), *data, *follow)
        stack.callback(replica.close)
        wait_until(lambda: replica.follows(master))
        sentinels = []
        for number in range(3):
            sentinel = Node(path / f"sentinel{number}", free_port(), sentinel=True)
            stack.callback(sentinel.close)
            ask = sentinel.client.execute_command
            ask("SENTINEL", "MONITOR", MASTER_NAME, "127.0.0.1", master.port, 2)
            ask("SENTINEL", "SET", MASTER_NAME, DOWN_AFTER, STEADY_MS)
            ask("SENTINEL", "SET", MASTER_NAME, "failover-timeout", 30_000)
            sentinels.append(sentinel)
        trio = Sentinels(master, replica, sentinels)
        wait_until(lambda: all(_knows_all(sentinel) for sentinel in sentinels))
        yield trio


def _knows_all(sentinel: Node) -> bool:
    fields = sentinel.client.execute_command("SENTINEL", "MASTER", MASTER_NAME)
    found = (
        fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    )
    return int(found["num-slaves"]) == 1 and int(found["num-other-sentinels"]) == 2
