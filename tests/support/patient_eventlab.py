"""Run ``eventlab`` as a user does, except that the service may wait longer for Redis and MongoDB.

Each worker of the service imports this module, as ``__mp_main__``, and so gets the same limits.
"""

from __future__ import annotations

import os
import sys

from eventlab.accounts.http import server, threads
from eventlab.cli.main import main

VARIABLE = "SECONDS_OF_A_CALL_IN_A_TEST"

if __name__ in ("__main__", "__mp_main__"):
    for module, name in ((threads, "CALL_SECONDS"), (server, "SERVER_SECONDS")):
        setattr(module, name, float(os.environ[VARIABLE]))

if __name__ == "__main__":
    sys.exit(main())
