"""Run small programs of a page as processes of their own: together, or one that is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

#: Longer than any program of a page runs on a busy machine, in seconds.
PATIENCE = 50


def run_together(code: str, count: int) -> list[str]:
    """Run a Python program in `count` processes, and return what each of them prints.

    Each calls `wait_for_start` once it is ready; then all continue at the same moment.
    """
    return [printed for printed, _ in start_together([[code]] * count)]


def start_together(programs: Sequence[Sequence[str]]) -> list[tuple[str, int]]:
    """Run programs, given as code and arguments; return what each prints, and its exit status.

    Each calls `wait_for_start`; a negative status means that it was killed.
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
    """Tell `run_together` that this process is ready, and wait until all are."""
    print("ready", flush=True)
    sys.stdin.readline()
