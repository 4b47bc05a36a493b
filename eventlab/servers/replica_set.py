"""Set up a one-node replica set, because a standalone mongod does not support transactions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pymongo
from pymongo.errors import OperationFailure

from eventlab.servers.config import REPLICA_SET

ALREADY_INITIALIZED = 23

Client = pymongo.MongoClient[dict[str, Any]]


def socket_url(socket: str) -> str:
    """Return the MongoDB URL of a unix socket.

    >>> socket_url("lab/mongod.sock")
    'mongodb://lab%2Fmongod.sock/?directConnection=true'
    """
    return f"mongodb://{quote(socket, safe='')}/?directConnection=true"


def initiate(client: Client, socket: str) -> None:
    """Turn the mongod into a one-node replica set or, if it already is one, update its address.

    Raises OperationFailure if mongod rejects the configuration.
    """
    config: dict[str, Any] = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": socket}]}
    try:
        client.admin.command("replSetInitiate", config)
    except OperationFailure as failure:
        if failure.code != ALREADY_INITIALIZED:
            raise
        known = client.get_database("local").get_collection("system.replset").find_one()
        if known is not None and known["members"][0]["host"] != socket:
            config["version"] = known["version"] + 1
            client.admin.command("replSetReconfig", config, force=True)


def is_primary(client: Client) -> bool:
    """Return whether the mongod is the primary and therefore accepts writes."""
    return bool(client.admin.command("hello").get("isWritablePrimary"))
