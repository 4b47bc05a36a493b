"""``eventlab project`` follows a category as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import redis

from eventlab import Event, EventStore
from eventlab.accounts import AccountService


def run(category: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "eventlab.cli", "project", "--category", category, "--collection", category]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_it_follows_until_a_sigterm_and_goes_on_where_it_was(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    service = AccountService(EventStore(redis_client, category))
    service.create("a")
    for funds in (5, 10):
        with run(category) as process:
            service.deposit("a", 5)
            end = time.monotonic() + 30
            while (mongo[category].find_one("a") or {}).get("funds") != funds:
                assert time.monotonic() < end
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert category in process.stderr.read()


def test_it_stops_with_a_sentence_at_what_the_view_cannot_apply(redis_client: redis.Redis, category: str) -> None:
    EventStore(redis_client, category).append("a", [Event("bonus", {"amount": 5})], expected=0)
    with run(category) as process:
        assert process.wait(30) == 1
        said = process.stderr.read()
    assert "bonus" in said
    assert "Traceback" not in said
