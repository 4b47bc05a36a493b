"""Run ``eventlab`` and press Ctrl-C at an exact moment: the n-th audit event of its main thread.

Usage: ``python interrupt.py N WORDS...``. Python raises an audit event for every import, every
opened file and every connection, so that N selects a moment without any clock. Counting begins
when the command line handles Ctrl-C. The exit status is 99 if there were fewer events.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

TOO_FEW = 99
COUNTED = ("import", "open", "socket.connect", "subprocess.Popen", "os.listdir", "compile")


def main() -> None:
    """Count audit events and interrupt at the chosen one."""
    chosen = int(sys.argv[1])
    count = 0

    def watch(event: str, _args: tuple[object, ...]) -> None:
        nonlocal count
        if event not in COUNTED or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN):
            return
        count += 1
        if count == chosen:
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.addaudithook(watch)
    sys.argv[:] = ["eventlab", *sys.argv[2:]]
    try:
        runpy.run_module("eventlab", run_name="__main__")
    finally:
        if count < chosen:
            os._exit(TOO_FEW)


if __name__ == "__main__":
    main()
