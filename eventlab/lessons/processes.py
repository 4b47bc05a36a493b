"""Run small programs from a notebook in separate processes, which may be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

#: The time limit in seconds, longer than any program of a notebook needs on a busy machine.
PATIENCE = 120


def run_together(code: str, count: int) -> list[str]:
    """Run a Python program in `count` processes, and return the output of each process.

    Each process calls `wait_for_start` when it is ready. All processes then continue at the same
    time.
    """
    return [printed for printed, _ in start_together([[code]] * count)]


def start_together(programs: Sequence[Sequence[str]]) -> list[tuple[str, int]]:
    """Run programs, given as code and arguments; return the output and exit status of each.

    Each program must call `wait_for_start`. A negative status means that the process was killed.
    """
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, "-c", *program], stdin=pipe, stdout=pipe, text=True)
        for program in programs
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("a process exited before it was ready: run `eventlab doctor`")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        printed = [process.communicate(timeout=PATIENCE)[0] for process in processes]
        return [
            (text, process.returncode) for text, process in zip(printed, processes, strict=True)
        ]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def wait_for_start() -> None:
    """Tell the parent that this process is ready, and wait until all processes are ready."""
    print("ready", flush=True)
    sys.stdin.readline()
