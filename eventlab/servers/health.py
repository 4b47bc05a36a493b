"""Whether a private server answers."""

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

PATIENCE = 2.0


def listens(path: str) -> bool:
    """Say whether somebody listens on a unix socket.

    Example: ``listens(running.sockets["redis"])``
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def answer(sockets: Mapping[str, str]) -> bool:
    """Say whether servers answer; one that is being killed may still listen, but it answers no more.

    Example: ``answer(running.sockets)``
    """
    probes = {REDIS: redis_answers, MONGOD: mongod_answers}
    return all(probes[name](path) for name, path in sockets.items())


def redis_answers(path: str) -> bool:
    """Say whether a Redis answers, which it does not while it reads its log.

    Example: ``redis_answers(running.sockets["redis"])``
    """
    once = Retry(NoBackoff(), 0)
    with redis.Redis(unix_socket_path=path, retry=once, socket_timeout=PATIENCE) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def mongod_answers(path: str) -> bool:
    """Say whether a mongod answers as the primary of its replica set.

    Example: ``mongod_answers(running.sockets["mongod"])``
    """
    if not listens(path):
        return False  # a MongoClient would look again every half second
    client: replica_set.Client
    with pymongo.MongoClient(
        replica_set.socket_url(path), serverSelectionTimeoutMS=int(PATIENCE * 1000)
    ) as client:
        try:
            return replica_set.is_primary(client)
        except PyMongoError:
            return False
