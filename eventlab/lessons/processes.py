"""Run small programs from a notebook in separate processes, which may be killed."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import sys
import time
import types
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from typing import Final

#: The time limit in seconds, longer than any program of a notebook needs on a busy machine.
PATIENCE: Final = 120
WHAT_TO_DO: Final = (
    'run `eventlab doctor`; in a script, start processes under `if __name__ == "__main__":`'
)


class Program:
    """A program, given as code and arguments, in a process with pipes to its input and output.

    The process is forked from one that has already imported eventlab, because a new interpreter
    needs more time for its imports than most programs need for their work. The program runs as with
    ``python -c``, except that its ``atexit`` functions are not called. A script must start programs
    under ``if __name__ == "__main__":``, because each process imports the script.
    """

    def __init__(self, code: str, *arguments: str) -> None:
        context = forkserver()
        stdin, to_stdin = context.Pipe(duplex=False)
        from_stdout, stdout = context.Pipe(duplex=False)
        args = (code, arguments, dict(os.environ), stdin, stdout)
        self._process = context.Process(target=_run, args=args, daemon=True)
        self._process.start()
        # Unbuffered, so that closing a pipe whose process has ended does not raise BrokenPipeError.
        self._stdin = os.fdopen(os.dup(to_stdin.fileno()), "wb", buffering=0)
        self._stdout = os.fdopen(os.dup(from_stdout.fileno()), "rb", buffering=0)
        for each in (stdin, to_stdin, from_stdout, stdout):
            each.close()

    def write_line(self, line: str) -> None:
        """Write one line to the standard input of the program, unless the program has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(f"{line}\n".encode())

    def read_line(self) -> str:
        """Wait for the next line of its standard output; an empty string means there is none."""
        return self._stdout.readline().decode()

    def end(self) -> tuple[str, int]:
        """Wait until the program has ended; return the rest of its output and its exit status.

        A negative status means that the process was killed. Raises RuntimeError after ``PATIENCE``
        seconds.
        """
        deadline = time.monotonic() + PATIENCE
        printed = b""
        while (left := deadline - time.monotonic()) > 0 and wait([self._stdout.fileno()], left):
            chunk = self._stdout.read(2**16)
            if not chunk:
                break
            printed += chunk
        self._process.join(max(0.0, deadline - time.monotonic()))
        if self._process.exitcode is None:
            raise RuntimeError(
                f"a process did not end within {PATIENCE} seconds: run the cell again"
            )
        return printed.decode(), self._process.exitcode

    def kill(self) -> None:
        """Kill the process, if it still runs."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._stdin.close()
        self._stdout.close()


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
    with contextlib.ExitStack() as stack:
        running = list[Program]()
        for code, *arguments in programs:
            running.append(Program(code, *arguments))
            stack.callback(running[-1].kill)
        for program in running:
            if program.read_line() != "ready\n":
                raise RuntimeError(f"a process exited before it was ready: {WHAT_TO_DO}")
        for program in running:
            program.write_line("go")
        return [program.end() for program in running]


def wait_for_start() -> None:
    """Tell the parent that this process is ready, and wait until all processes are ready."""
    print("ready", flush=True)
    if not sys.stdin.readline():
        sys.exit(1)  # the parent has ended


@functools.cache
def forkserver() -> ForkServerContext:
    """Return the context in which programs run, whose server has imported this package."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__package__])
    return context


def _run(
    code: str,
    arguments: tuple[str, ...],
    env: dict[str, str],
    stdin: Connection,
    stdout: Connection,
) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.dup2(stdin.fileno(), 0)
    os.dup2(stdout.fileno(), 1)
    for each in (stdin, stdout):
        each.close()
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.argv = ["-c", *arguments]
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    exec(compile(code, "<string>", "exec", dont_inherit=True), main.__dict__)
