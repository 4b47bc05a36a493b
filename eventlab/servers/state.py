"""What runs for a data directory: written by its supervisor, true while the supervisor holds its lock."""

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
    """The processes of a lab, and where its servers listen."""

    supervisor: int
    pids: dict[str, int]
    sockets: dict[str, str]


def is_supervised(data: Path) -> bool:
    """Say whether a supervisor of the data directory is alive.

    Example: ``is_supervised(data_directory())``
    """
    return lock.is_held(data / SUPERVISOR_LOCK)


def read(data: Path) -> Running | None:
    """Give what the supervisor wrote; None when it has not written yet, or has begun to stop.

    Example: ``read(data_directory())``
    """
    try:
        text = (data / STATE).read_text("utf-8")
    except FileNotFoundError:
        return None
    return Running(**json.loads(text))


def write(data: Path, running: Running) -> None:
    """Say that everything runs.

    Example: ``write(data, Running(os.getpid(), pids, sockets))``
    """
    fresh = data / f"{STATE}.new"
    fresh.write_text(json.dumps(dataclasses.asdict(running)), "utf-8")
    fresh.replace(data / STATE)


def clear(data: Path) -> None:
    """Say that nothing runs, or not for long.

    Example: ``clear(data)``
    """
    (data / STATE).unlink(missing_ok=True)


def clear_own(data: Path, supervisor: int) -> None:
    """Let a supervisor say that it stops; if its data directory was replaced, the new one's state is not its own.

    Example: ``clear_own(data, os.getpid())``
    """
    running = read(data)
    if running is not None and running.supervisor == supervisor:
        clear(data)
