"""What a supervisor is told to run: made by the process that starts it, read by the supervisor."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from eventlab import settings
from eventlab.servers import binaries, config, directories
from eventlab.servers.config import MONGOD, REDIS, Server
from eventlab.servers.errors import ServersFailed

GRACE_VARIABLE = settings.GRACE
GRACE = 5.0


@dataclass(frozen=True)
class Plan:
    """The servers of one data directory, and how many seconds they outlive their last user."""

    data: Path
    runtime: Path
    grace: float
    servers: tuple[Server, ...]

    def to_json(self) -> str:
        """Write it down for the supervisor."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what ``to_json`` wrote."""
        raw = json.loads(text)
        servers = tuple(Server(**server) for server in raw["servers"])
        return cls(Path(raw["data"]), Path(raw["runtime"]), float(raw["grace"]), servers)


def make_plan(data: Path, wanted: Collection[str]) -> Plan:
    """Find the programs and make the directories for the servers that are wanted (``redis``, ``mongod``).

    Raises BinaryMissing, BinaryUnusable or DirectoryRefused; ServersFailed for a grace time that is no number.

    Example: ``make_plan(data_directory(), {"redis", "mongod"})``
    """
    runtime = directories.runtime_directory(data)
    servers = []
    if REDIS in wanted:
        servers.append(config.redis_server(binaries.find_redis(), data=data, runtime=runtime))
    if MONGOD in wanted:
        servers.append(config.mongod(binaries.find_mongod(data), data=data, runtime=runtime))
    plan = Plan(data, runtime, _grace(), tuple(servers))
    directories.prepare_runtime(runtime)
    return plan


def _grace() -> float:
    text = os.environ.get(GRACE_VARIABLE) or str(GRACE)
    try:
        return float(text)
    except ValueError as error:
        raise ServersFailed(
            f"{GRACE_VARIABLE}={text!r}: give a number of seconds, such as {GRACE}"
        ) from error
