"""A process that only holds the lease: ``python -m eventlab.servers.keepalive``.

Where kernels come and go (Binder culls an idle one after ten minutes), it keeps the servers running
between them, until it gets a SIGTERM. ``binder/start`` runs it in the background.
"""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from typing import Final

from eventlab.servers.lab import connect

WAKE_SECONDS: Final = 0.5


def main() -> None:
    """Start the servers if necessary, and keep them running until a SIGTERM or SIGINT."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    with connect():
        while True:
            time.sleep(WAKE_SECONDS)  # longer would delay a signal that another thread gets


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
