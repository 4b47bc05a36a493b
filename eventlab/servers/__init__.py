"""Private Redis and MongoDB servers, shared by all processes that use one data directory."""

from eventlab.servers.errors import (
    BinaryMissing,
    BinaryUnusable,
    DirectoryRefused,
    ServersError,
    ServersFailed,
    ServerUnreachable,
)
from eventlab.servers.lab import Lab, connect

__all__ = [
    "BinaryMissing",
    "BinaryUnusable",
    "DirectoryRefused",
    "Lab",
    "ServerUnreachable",
    "ServersError",
    "ServersFailed",
    "connect",
]
