"""What runs for a data directory: valid while the supervisor that wrote it holds its lock."""

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
    """The processes of a lab, and the sockets of its servers.

    ``trouble`` names a server that keeps ending after each restart; "" if there is none.
    """

    supervisor: int
    pids: dict[str, int]
    sockets: dict[str, str]
    trouble: str = ""


def is_supervised(data: Path) -> bool:
    """Return whether a supervisor of the data directory is alive."""
    return lock.is_held(data / SUPERVISOR_LOCK)


def read(data: Path) -> Running | None:
    """Return what the supervisor wrote; None when it is still starting, or stopping."""
    try:
        text = (data / STATE).read_text("utf-8")
    except FileNotFoundError:
        return None
    return Running(**json.loads(text))


def write(data: Path, running: Running) -> None:
    """Record that everything runs."""
    fresh = data / f"{STATE}.new"
    fresh.write_text(json.dumps(dataclasses.asdict(running)), "utf-8")
    fresh.replace(data / STATE)


def clear(data: Path) -> None:
    """Record that nothing runs, or that everything is about to stop."""
    (data / STATE).unlink(missing_ok=True)


def clear_own(data: Path, supervisor: int) -> None:
    """Record that a supervisor stops.

    If the data directory was replaced, the state in it belongs to another supervisor and stays.
    """
    running = read(data)
    if running is not None and running.supervisor == supervisor:
        clear(data)
