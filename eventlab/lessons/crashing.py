"""Run a function from a notebook in a separate process, which the function can kill."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence

from eventlab.lessons.processes import start_together
from eventlab.store.store import EventStore

PROGRAM = """
from __future__ import annotations
import os, signal, sys
from eventlab import *
from eventlab.accounts import *
from eventlab.lessons import wait_for_start

crash_at, *categories = sys.argv[1:]
left = int(crash_at)

def crash():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

{functions}

wait_for_start()
try:
    {name}(*[EventStore(connect().redis, category) for category in categories], crash)
except Exception as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(1)
"""


def run_and_crash(
    function: Callable[..., object],
    *stores: EventStore,
    crash_at: int = 0,
    uses: Sequence[Callable[..., object]] = (),
) -> bool:
    """Run ``function(*stores, crash)`` in its own process; return whether it was killed.

    ``crash()`` kills the process with SIGKILL when it is called for the ``crash_at``-th time; with
    0, it never kills the process. The function may use the public names of ``eventlab`` and
    ``eventlab.accounts``, and the functions in ``uses``. Raises RuntimeError if the function raises
    an error.
    """
    sources = [textwrap.dedent(inspect.getsource(each)) for each in (*uses, function)]
    code = PROGRAM.replace("{functions}", "\n".join(sources)).replace("{name}", function.__name__)
    categories = [store.category for store in stores]
    [(printed, status)] = start_together([[code, str(crash_at), *categories]])
    if status > 0:
        raise RuntimeError(f"{function.__name__} failed: {printed.strip()}")
    return status < 0
