"""Run ``eventlab`` and press Ctrl-C at an exact moment: the n-th audit event of its main thread.

Usage: ``python interrupt.py N WORDS...``. Python raises an audit event for every import, every
opened file and every connection, so that N selects a moment without any clock. Counting begins
when the command line handles Ctrl-C. A command that waits before its n-th event is interrupted
while it waits, since the number of files that a start opens depends on the machine. The exit status
is 99 if the command ended before it was interrupted.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

TOO_FEW = 99
IDLE_SECONDS = 5.0
COUNTED = ("import", "open", "socket.connect", "subprocess.Popen", "os.listdir", "compile")


def main() -> None:
    """Count audit events and interrupt at the chosen one."""
    chosen = int(sys.argv[1])
    count = 0
    is_interrupted = False

    def interrupt() -> None:
        nonlocal is_interrupted
        is_interrupted = True
        os.kill(os.getpid(), signal.SIGINT)

    def interrupt_when_idle() -> None:
        seen = -1
        while not is_interrupted:
            time.sleep(IDLE_SECONDS)
            if 0 < count == seen and not is_interrupted:
                interrupt()
            seen = count

    def watch(event: str, _args: tuple[object, ...]) -> None:
        nonlocal count
        if event not in COUNTED or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN):
            return
        count += 1
        if count == chosen and not is_interrupted:
            interrupt()

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.addaudithook(watch)
    threading.Thread(target=interrupt_when_idle, daemon=True).start()
    sys.argv[:] = ["eventlab", *sys.argv[2:]]
    try:
        runpy.run_module("eventlab", run_name="__main__")
    finally:
        if not is_interrupted:
            os._exit(TOO_FEW)


if __name__ == "__main__":
    main()
