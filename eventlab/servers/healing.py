"""Restart a killed supervisor from a process that uses the servers.

The supervisor restarts a server that has exited. If the supervisor itself is killed, only a process
that uses the servers can restart it, so each such process has a thread that monitors the
supervisor.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from eventlab.servers import lease, starter
from eventlab.servers.errors import ServersError

POLL_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 4.0

logger = logging.getLogger(__name__)
_mutex = threading.Lock()
_monitored: dict[lease.Key, lease.Holding] = {}


def begin(data: Path, sockets: Mapping[str, str]) -> None:
    """Monitor the supervisor of these servers while this process holds the lease of ``data``."""
    holding = lease.holding(data)
    if holding is None:
        return
    # A forked child has a different process id, and has no thread yet.
    key = (os.getpid(), data)
    with _mutex:
        if _monitored.get(key) is holding:
            return
        _monitored[key] = holding
    threading.Thread(
        target=_monitor,
        args=(data, dict(sockets), holding),
        name=f"eventlab monitors {data.name}",
        daemon=True,
    ).start()


def _monitor(data: Path, sockets: Mapping[str, str], holding: lease.Holding) -> None:
    has_failed = False
    while lease.holding(data) is holding:
        time.sleep(POLL_SECONDS)
        try:
            if starter.heal(data, sockets):
                logger.info(
                    "the supervisor of the private servers was killed, and has been restarted"
                )
                has_failed = False
        except (ServersError, OSError) as error:
            if not has_failed:
                logger.warning("the private servers cannot be restarted yet: %s", error)
            has_failed = True
            time.sleep(RETRY_SECONDS)
