"""Replaces connections to a MongoDB that was still starting when they were opened."""

from __future__ import annotations

from typing import Any

import pymongo
from pymongo.errors import AutoReconnect, ConfigurationError


def drop_connections(client: pymongo.MongoClient[Any], error: ConfigurationError) -> Exception:
    """Drop the connections of a client if they have no sessions; return the error to raise.

    With ``directConnection=true``, pymongo also connects to a mongod that is not yet a member of
    its replica set. Such a connection never supports sessions, and pymongo keeps it. Returns
    AutoReconnect, an outage, if the connections were dropped; otherwise, returns ``error``.
    """
    if "Sessions are not supported" not in str(error):
        return error
    # pymongo has no public method to clear the pools of a client that remains open.
    for server in list(client._topology._servers.values()):
        server.reset()
    return AutoReconnect(f"MongoDB is starting: {error}")
