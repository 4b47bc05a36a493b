"""A bare FastAPI route with one XADD and nothing else, the upper limit of the account service."""

from __future__ import annotations

import os
from typing import Annotated

import redis
from fastapi import Body, FastAPI


def app() -> FastAPI:
    """Return an app with one route.

    EVENTLAB_REDIS_URL names the app's Redis, and BENCH_STREAM names its stream.
    """
    client = redis.Redis.from_url(os.environ["EVENTLAB_REDIS_URL"])
    stream = os.environ["BENCH_STREAM"]
    bare = FastAPI()

    @bare.post("/accounts/{id}/deposits")
    def deposit(id: str, amount: Annotated[int, Body(embed=True)]) -> dict[str, str | int]:
        client.xadd(
            stream, {"event": f'{{"id":"{id}","version":1,"type":"deposit","amount":{amount}}}'}
        )
        return {"id": id, "amount": amount}

    return bare
