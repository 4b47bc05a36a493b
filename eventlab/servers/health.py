"""Check whether the private servers respond."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pymongo
import redis
from pymongo.errors import PyMongoError
from redis.backoff import NoBackoff
from redis.retry import Retry

from eventlab.servers import replica_set
from eventlab.servers.config import MONGOD, REDIS

ANSWER_TIMEOUT_SECONDS = 2.0


def listens(path: str) -> bool:
    """Return whether a process listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def answer(sockets: Mapping[str, str]) -> bool:
    """Return whether all servers respond to a command.

    An open socket is not sufficient, because a server that is being killed may still listen.
    """
    probes = {REDIS: redis_answers, MONGOD: mongod_answers}
    return all(probes[name](path) for name, path in sockets.items())


def redis_answers(path: str) -> bool:
    """Return whether a Redis accepts commands; a Redis that is loading its data rejects them."""
    no_retry = Retry(NoBackoff(), 0)
    with redis.Redis(
        unix_socket_path=path, retry=no_retry, socket_timeout=ANSWER_TIMEOUT_SECONDS
    ) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def mongod_answers(path: str) -> bool:
    """Return whether a mongod responds as the primary of its replica set."""
    if not listens(path):
        return False  # otherwise, a MongoClient would retry every half second
    client: replica_set.Client
    with pymongo.MongoClient(
        replica_set.socket_url(path), serverSelectionTimeoutMS=int(ANSWER_TIMEOUT_SECONDS * 1000)
    ) as client:
        try:
            return replica_set.is_primary(client)
        except PyMongoError:
            return False
