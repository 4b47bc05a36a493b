"""Serving an app in a thread: it ends at once, but not in the middle of a request."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from fastapi import FastAPI

from eventlab.sandbox import serving
from eventlab.sandbox.serving import Serving
from tests.support.waiting import wait_until


class Waiting:
    """An app whose only response waits until it may go."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.get("/")(self.respond)
        self.began = threading.Event()
        self.may_go = threading.Event()

    async def respond(self) -> str:
        self.began.set()
        while not self.may_go.is_set():
            await asyncio.sleep(0.001)
        return "whole"


def test_close_lets_a_running_request_finish() -> None:
    waiting = Waiting()
    with ThreadPoolExecutor(2) as threads:
        server = Serving(waiting.app)
        response = threads.submit(requests.get, server.url, timeout=60)
        assert waiting.began.wait(60)
        closed = threads.submit(server.close)
        wait_until(lambda: server._server.should_exit)
        waiting.may_go.set()
        assert response.result().json() == "whole"
        closed.result()
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=60)


def test_close_gives_up_on_a_request_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "STOP_TIMEOUT_SECONDS", 0.01)
    waiting = Waiting()
    with ThreadPoolExecutor(1) as threads:
        server = Serving(waiting.app)
        response = threads.submit(requests.get, server.url, timeout=60)
        assert waiting.began.wait(60)
        server.close()
        with contextlib.suppress(requests.ConnectionError):
            assert response.result().status_code == 500


def test_close_is_noticed_between_two_updates_of_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "DATE_SECONDS", 600)
    closing = threading.Thread(target=Serving(Waiting().app).close, daemon=True)
    closing.start()
    wait_until(lambda: not closing.is_alive())
