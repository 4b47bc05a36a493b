"""The command line: its parser, and how a command starts and ends.

At the top it imports only what Python has loaded anyway: everything else is imported where Ctrl-C
is already handled, so that Ctrl-C during startup prints no traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Without ``argv`` it runs as a program: it reads the arguments of the process and handles Ctrl-C.

    >>> main(["--version"])
    eventlab 0.1.0
    """
    try:
        if argv is None:
            _handle_interrupts()
        return _run(argv)
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    finally:
        if argv is None:  # while Python shuts down, Ctrl-C would print a traceback again
            signal.signal(signal.SIGINT, _leave_at_once)


def _run(argv: Sequence[str] | None) -> int:
    from eventlab.cli.process import UsageError
    from eventlab.cli.text import sentence_of
    from eventlab.servers import directories

    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if arguments.command is None:
            parser.print_help()
            status = 0
        else:
            if arguments.data:
                data = directories.data_directory(arguments.data)
                os.environ[directories.DATA_VARIABLE] = str(data)
            status = int(arguments.command(arguments))
        sys.stdout.flush()
    except UsageError as error:
        _complain(f"{error} (eventlab {arguments.name} --help lists the options)")
        return 2
    except BrokenPipeError:  # whatever reads the output, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # every command ends in a sentence, not in a traceback
        if sys.flags.dev_mode:
            raise
        _complain(sentence_of(error))
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    import argparse

    from eventlab import __version__
    from eventlab.cli import doctor, lab, project, route, sandbox, serve

    parser = argparse.ArgumentParser(
        "eventlab", description="Event sourcing on a real Redis and a real MongoDB."
    )
    parser.add_argument("--version", action="version", version=f"eventlab {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="command", dest="name")
    for command in (lab, serve, project, route, sandbox, doctor):
        command.add_to(commands)
    return parser


def _complain(sentence: str) -> None:
    print(f"eventlab: {sentence}", file=sys.stderr)


def _handle_interrupts() -> None:
    """Make Ctrl-C end the program once it has cleaned up; a second one ends it at once."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # such as in a background job of a shell, which ignores Ctrl-C

    def interrupt(_number: int, _frame: object) -> NoReturn:
        signal.signal(signal.SIGINT, _leave_at_once)
        raise KeyboardInterrupt

    show = sys.unraisablehook

    def show_unless_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised in a finalizer, after printing its traceback.
        if unraisable.exc_type is KeyboardInterrupt:
            _leave_at_once()
        show(unraisable)

    sys.unraisablehook = show_unless_interrupted
    signal.signal(signal.SIGINT, interrupt)


def _leave_at_once(*_: object) -> NoReturn:
    os._exit(INTERRUPTED)
