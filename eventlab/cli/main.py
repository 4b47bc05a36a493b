"""The command line: its parser, and how a command starts and ends.

At the top it imports only what Python has loaded anyway: everything else is imported where Ctrl-C
is already handled, so that Ctrl-C during startup prints no traceback.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from eventlab.cli import interrupts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Without ``argv`` it runs as a program: it reads the arguments of the process and handles
    Ctrl-C and SIGTERM.

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

    commands = parser()
    arguments = commands.parse_args(argv)
    try:
        if arguments.command is None:
            commands.print_help()
            status = 0
        else:
            if arguments.data:
                data = directories.data_directory(arguments.data)
                os.environ[directories.DATA_VARIABLE] = str(data)
            status = int(arguments.command(arguments))
        if sys.stdout is not None:  # a closed one
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


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    import argparse

    from eventlab import __version__
    from eventlab.cli import doctor, forget, lab, project, route, sandbox, serve

    whole = argparse.ArgumentParser(
        "eventlab", description="Event sourcing on a real Redis and a real MongoDB."
    )
    whole.add_argument("--version", action="version", version=f"eventlab {__version__}")
    whole.set_defaults(command=None)
    commands = whole.add_subparsers(metavar="command", dest="name")
    for command in (lab, serve, project, route, sandbox, forget, doctor):
        command.add_to(commands)
    return whole


def _complain(sentence: str) -> None:
    print(f"eventlab: {sentence}", file=sys.stderr)
