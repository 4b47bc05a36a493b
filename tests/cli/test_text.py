"""Durations, sizes and errors as the command line shows them to people."""

from __future__ import annotations

import pymongo
import pytest
import redis
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError
from redis.exceptions import RedisClusterException

from eventlab.cli.text import duration, sentence_of, size
from eventlab.errors import EventLabError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.42, "0.4 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (192, "3 min 12 s"),
        (3605, "1 h"),
        (7505, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration_shows_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_234_000_000, "1.2 GB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_size_uses_decimal_units(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EventLabError("read it again"), "read it again"),
        (
            redis.ConnectionError("Error 111\nmore"),
            "Redis does not respond (Error 111): check that it is running and, if you set"
            " EVENTLAB_REDIS_URL, that the URL is correct",
        ),
        (
            redis.ResponseError("NOPERM no permission"),
            "Redis reported an error (NOPERM no permission): run eventlab doctor",
        ),
        (
            OperationFailure("failed, full error: {...}", 13, {"errmsg": "not authorized"}),
            "MongoDB reported an error (not authorized): run eventlab doctor",
        ),
        (
            redis.ReadOnlyError("You can't write against a read only replica."),
            "Redis is unavailable (You can't write against a read only replica.):"
            " try again when it accepts requests",
        ),
        (
            RedisClusterException("no node answers"),
            "Redis is unavailable (no node answers): try again when it accepts requests",
        ),
        (
            OperationFailure("the disk is full", 14031, {"errmsg": "the disk is full"}),
            "MongoDB is unavailable (the disk is full): try again when it accepts requests",
        ),
        (FileNotFoundError(2, "No such file", "a.json"), "No such file: a.json"),
        (OSError(28, "No space left"), "No space left"),
        (
            ValueError(),
            "internal error (ValueError: ValueError): report it, with the traceback that"
            " python -X dev -m eventlab prints",
        ),
    ],
)
def test_sentence_of_an_error_hides_the_driver(error: Exception, text: str) -> None:
    assert sentence_of(error) == text


def test_sentence_of_a_lost_mongodb_has_no_topology() -> None:
    with (
        pymongo.MongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=1) as client,
        pytest.raises(ServerSelectionTimeoutError, match="Topology") as caught,
    ):
        client.admin.command("ping")
    sentence = sentence_of(caught.value)
    assert sentence.startswith("MongoDB does not respond (127.0.0.1:9: ")
    assert "Topology" not in sentence
    assert sentence.endswith("if you set EVENTLAB_MONGODB_URL, that the URL is correct")
    wrapped = sentence_of(EventLabError(f"cannot be used: {caught.value}"))
    assert wrapped.startswith("cannot be used: 127.0.0.1:9: ")
    assert "Topology" not in wrapped
