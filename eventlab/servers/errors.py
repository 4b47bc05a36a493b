"""The errors that ``connect()`` raises; each message says what to do."""

from __future__ import annotations

from eventlab.errors import EventLabError


class ServersError(EventLabError):
    """The base class of every error that keeps ``connect()`` from returning a Lab."""


class BinaryMissing(ServersError):
    """A server program is not installed on this machine. Data: ``name``, ``remedy``."""

    def __init__(self, name: str, remedy: str) -> None:
        self.name = name
        self.remedy = remedy
        super().__init__(f"{name} is not installed: {remedy}")


class BinaryUnusable(ServersError):
    """A server program cannot run on this machine or is too old.

    Data: ``name``, ``reason``, ``remedy``.
    """

    def __init__(self, name: str, reason: str, remedy: str) -> None:
        self.name = name
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{name} does not run here ({reason}): {remedy}")


class DirectoryRefused(ServersError):
    """A directory cannot be used for the data or the sockets. Data: ``path``."""

    def __init__(self, path: object, reason: str) -> None:
        self.path = path
        super().__init__(f"{path} {reason}")


class ServersFailed(ServersError):
    """The private servers did not start; the message ends with the last lines of their logs."""


class ServerUnreachable(ServersError):
    """The server named by an environment variable does not respond or cannot be used.

    Data: ``variable``, ``reason``, and ``remedy``, which is empty if no specific remedy is known.
    """

    def __init__(self, variable: str, reason: str, remedy: str = "") -> None:
        self.variable = variable
        self.reason = reason
        self.remedy = remedy
        advice = f": {remedy}" if remedy else ""
        super().__init__(f"the server at {variable} {reason}{advice}")
