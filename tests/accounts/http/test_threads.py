"""A call to a server that hangs ends in time, and does not hold up the calls to another server."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pymongo.errors
import pytest
import redis

from eventlab.accounts.http import server, threads
from eventlab.accounts.http.threads import ServerThreads


def test_call_to_a_hung_server_ends_in_time_and_blocks_no_other_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mongodb = ServerThreads("MongoDB", pymongo.errors.NetworkTimeout, threads=1)
    others = ServerThreads("Redis", redis.exceptions.TimeoutError, threads=1)
    answers = threading.Event()

    async def calls() -> str:
        for _ in range(3):  # the later ones wait for the thread in vain
            monkeypatch.setattr(threads, "CALL_SECONDS", 0.02)
            with pytest.raises(
                pymongo.errors.NetworkTimeout, match="MongoDB did not respond within"
            ):
                await mongodb.run(partial(answers.wait, 40))
        monkeypatch.setattr(threads, "CALL_SECONDS", 20)
        return await others.run(lambda: "answered")

    try:
        assert asyncio.run(calls()) == "answered"
    finally:
        answers.set()


def test_calls_to_redis_and_to_mongodb_have_two_seconds() -> None:
    assert threads.CALL_SECONDS == server.SERVER_SECONDS == 2
