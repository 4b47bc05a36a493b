"""A private Redis and MongoDB: shared by all open kernels, kept between starts."""

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
