"""The one-node replica set: what makes transactions and change streams work on a single mongod."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pymongo
from pymongo.errors import OperationFailure

from eventlab.servers.config import REPLICA_SET

ALREADY_INITIALIZED = 23

Client = pymongo.MongoClient[dict[str, Any]]


def socket_url(socket: str) -> str:
    """Give the MongoDB URL of a unix socket.

    Example: ``socket_url("/run/user/1000/eventlab/mongod.sock")``
    """
    return f"mongodb://{quote(socket, safe='')}/?directConnection=true"


def initiate(client: Client, socket: str) -> None:
    """Make the mongod a replica set of itself, or tell the one it was before where it lives now.

    Raises OperationFailure when mongod refuses.

    Example: ``initiate(MongoClient(socket_url(socket)), socket)``
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
    """Say whether the replica set takes writes by now.

    Example: ``is_primary(MongoClient(socket_url(socket)))``
    """
    return bool(client.admin.command("hello").get("isWritablePrimary"))
