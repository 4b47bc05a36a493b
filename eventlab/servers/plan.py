"""A supervisor's plan, which the starter writes and the supervisor reads."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from eventlab import settings
from eventlab.servers import binaries, config, directories
from eventlab.servers.config import MONGOD, REDIS, Server
from eventlab.servers.errors import ServersFailed

GRACE_VARIABLE = settings.GRACE
DEFAULT_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    """The servers to run for a data directory.

    The servers keep running for ``grace`` seconds after the last process has released the lease.
    """

    data: Path
    runtime: Path
    grace: float
    servers: tuple[Server, ...]

    def to_json(self) -> str:
        """Return the plan as JSON for the supervisor."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return the plan that ``to_json`` wrote."""
        raw = json.loads(text)
        servers = tuple(Server(**server) for server in raw["servers"])
        return cls(Path(raw["data"]), Path(raw["runtime"]), float(raw["grace"]), servers)


def make_plan(data: Path, wanted: Collection[str], runtime: Path | None = None) -> Plan:
    """Find the programs and create the directories for the wanted servers (``redis``, ``mongod``).

    The sockets are in ``runtime``, which defaults to the result of ``runtime_directory``. Raises
    BinaryMissing, BinaryUnusable, DirectoryRefused, or ServersFailed for an invalid grace period.
    """
    runtime = runtime or directories.runtime_directory(data)
    servers = []
    if REDIS in wanted:
        servers.append(config.redis_server(binaries.find_redis(), data=data, runtime=runtime))
    if MONGOD in wanted:
        servers.append(config.mongod(binaries.find_mongod(data), data=data, runtime=runtime))
    plan = Plan(data, runtime, _grace(), tuple(servers))
    directories.prepare_runtime(runtime)
    return plan


def _grace() -> float:
    text = os.environ.get(GRACE_VARIABLE) or str(DEFAULT_GRACE_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:  # a comparison with nan is always false
        raise ServersFailed(
            f"{GRACE_VARIABLE}={text!r}: expected a number of seconds, such as "
            f"{DEFAULT_GRACE_SECONDS}"
        )
    return seconds
