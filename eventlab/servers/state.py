"""The state of a data directory's servers, valid while the supervisor that wrote it is alive."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from eventlab.servers import lock

SUPERVISOR_LOCK = "supervisor.lock"
STATE = "state.json"


@dataclass(frozen=True)
class Running:
    """The processes of a data directory's servers, and the sockets of these servers.

    ``trouble`` names a server that exits after each restart, or is empty if there is none.
    """

    supervisor: int
    pids: dict[str, int]
    sockets: dict[str, str]
    trouble: str = ""


def is_supervised(data: Path) -> bool:
    """Return whether a supervisor of the data directory is alive."""
    return lock.is_held(data / SUPERVISOR_LOCK)


def read(data: Path) -> Running | None:
    """Return the state that the supervisor wrote, or None while the supervisor starts or stops."""
    try:
        text = (data / STATE).read_text("utf-8")
    except FileNotFoundError:
        return None
    return Running(**json.loads(text))


def write(data: Path, running: Running) -> None:
    """Record the running processes and their sockets."""
    fresh = data / f"{STATE}.new"
    fresh.write_text(json.dumps(dataclasses.asdict(running)), "utf-8")
    fresh.replace(data / STATE)


def clear(data: Path) -> None:
    """Record that the servers have stopped or are about to stop."""
    (data / STATE).unlink(missing_ok=True)


def clear_own(data: Path, supervisor: int) -> None:
    """Record that a supervisor is stopping.

    If the data directory was replaced, the state in it belongs to another supervisor and is kept.
    """
    running = read(data)
    if running is not None and running.supervisor == supervisor:
        clear(data)
