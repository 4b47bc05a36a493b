"""The entry point of the command line: parse the arguments, run a command, and report errors.

At the top, this module imports only modules that Python has already loaded. All other imports
happen after the Ctrl-C handler is installed, so that Ctrl-C during startup prints no traceback.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from eventlab.cli import interrupts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from _typeshed import SupportsWrite

#: The commands, in the order in which --help lists them. Each is a module in this package.
COMMANDS = (
    "lab",
    "serve",
    "project",
    "route",
    "sandbox",
    "forget",
    "backup",
    "restore",
    "ui",
    "watch",
    "show",
    "trace",
    "doctor",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Without ``argv``, the arguments are those of the process, and Ctrl-C and SIGTERM are handled.

    >>> main(["--version"])
    eventlab 0.1.0
    """
    try:
        if argv is None:
            interrupts.handle()
        return _run(argv)
    except KeyboardInterrupt:
        _complain("interrupted")
        return interrupts.status()
    finally:
        if argv is None:
            interrupts.handle_no_more()


def _run(argv: Sequence[str] | None) -> int:
    from eventlab.cli.process import UsageError
    from eventlab.cli.text import sentence_of
    from eventlab.servers import directories

    words = sys.argv[1:] if argv is None else argv
    commands = parser(words[0] if words else "")
    try:
        try:
            arguments = commands.parse_args(argv)
        except SystemExit:  # after --help or --version
            _flush()
            raise
        if arguments.command is None:
            commands.print_help()
            status = 0
        else:
            if arguments.data:
                data = directories.data_directory(arguments.data)
                os.environ[directories.DATA_VARIABLE] = str(data)
            status = int(arguments.command(arguments))
        _flush()
    except UsageError as error:
        _complain(f"{error} (eventlab {arguments.name} --help lists the options)")
        return 2
    except BrokenPipeError:  # the program that reads the output, such as head, has exited
        _drop_output()
        return 1
    except Exception as error:  # report a sentence, not a traceback
        if sys.flags.dev_mode:
            raise
        _complain(sentence_of(error))
        _drop_output()
        return 1
    return status


def _flush() -> None:
    from eventlab.cli.process import CommandFailed

    if sys.stdout is None:  # standard output is closed
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandFailed(f"standard output: {error.strerror}") from error


def _drop_output() -> None:
    # Otherwise, Python would try to write the buffered output at exit and report an error again.
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser(command: str = "") -> argparse.ArgumentParser:
    """Return a parser for one command or, without a known command, for all commands."""
    import argparse
    from importlib import import_module

    from eventlab import __version__

    class Parser(argparse.ArgumentParser):
        """A parser that raises an error if its help or version cannot be written."""

        def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
            if file is None or file is not sys.stdout:
                super()._print_message(message, file)
            else:
                file.write(message)

    whole = Parser("eventlab", description="Event sourcing on real Redis and MongoDB servers.")
    whole.add_argument("--version", action="version", version=f"eventlab {__version__}")
    whole.set_defaults(command=None)
    commands = whole.add_subparsers(metavar="command", dest="name")
    # Importing all commands takes longer than running most of them.
    for name in [command] if command in COMMANDS else COMMANDS:
        import_module(f"eventlab.cli.{name}").add_to(commands)
    return whole


def _complain(sentence: str) -> None:
    print(f"eventlab: {sentence}", file=sys.stderr)
