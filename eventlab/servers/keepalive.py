"""Keep the servers running without a kernel: ``python -m eventlab.servers.keepalive``.

On Binder, a kernel is culled when it has been idle for ten minutes. This process keeps the servers
running until the process receives SIGTERM. ``binder/start`` runs this module in the background.
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
    """Start the servers if necessary, and keep them running until SIGTERM or SIGINT arrives."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    with connect():
        while True:
            time.sleep(WAKE_SECONDS)  # a longer sleep could delay a signal handler


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
