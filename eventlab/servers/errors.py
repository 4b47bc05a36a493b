"""What can go wrong before the servers run, each with a sentence that says what to do."""

from __future__ import annotations

from eventlab.errors import EventLabError


class ServersError(EventLabError):
    """The base of everything that keeps ``connect()`` from giving a Lab."""


class BinaryMissing(ServersError):
    """A server's program is nowhere on this machine. Data: ``name``, ``remedy``."""

    def __init__(self, name: str, remedy: str) -> None:
        self.name, self.remedy = name, remedy
        super().__init__(f"there is no {name} on this machine: {remedy}")


class BinaryUnusable(ServersError):
    """A server's program was found and does not run here. Data: ``name``, ``reason``, ``remedy``."""

    def __init__(self, name: str, reason: str, remedy: str) -> None:
        self.name, self.reason, self.remedy = name, reason, remedy
        super().__init__(f"{name} does not run here ({reason}): {remedy}")


class DirectoryRefused(ServersError):
    """A directory is not fit to hold the data or the sockets. Data: ``path``."""

    def __init__(self, path: object, reason: str) -> None:
        self.path = path
        super().__init__(f"{path} {reason}")


class ServersFailed(ServersError):
    """The private servers did not start; the message ends with what they said."""


class ServerUnreachable(ServersError):
    """A server that the user named does not answer, or is not of the kind that is needed. Data: ``variable``."""

    def __init__(self, variable: str, reason: str) -> None:
        self.variable = variable
        super().__init__(f"the server that {variable} names {reason}")
