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


def run(category: str, *more: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "eventlab",
        "project",
        "--category",
        category,
        "--collection",
        category,
    ]
    return subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answer(category: str, *more: str) -> tuple[int, str, str]:
    with run(category, *more) as process:
        out, error = process.communicate(timeout=50)
    assert "Traceback" not in error
    return process.returncode, out, error


def the_view_holds(mongo: Any, collection: str, id: str, **fields: Any) -> None:
    end = time.monotonic() + 40
    while not (mongo[collection].find_one({"_id": id, **fields})):
        assert time.monotonic() < end, (collection, id, fields, list(mongo[collection].find()))
        time.sleep(0.02)


def test_it_follows_until_a_sigterm_and_goes_on_where_it_was(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    service = AccountService(EventStore(redis_client, category))
    service.create("a")
    for funds in (5, 10):
        with run(category) as process:
            service.deposit("a", 5)
            the_view_holds(mongo, category, "a", funds=funds)
            the_view_holds(mongo, f"{category}_by_type", "deposit", events=funds // 5)
            today = EventStore(redis_client, category).read("a")[-1].time.date().isoformat()
            the_view_holds(
                mongo, f"{category}_per_day", today, events=funds // 5, deposited=funds, withdrawn=0
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert f"view {category}: at work" in process.stderr.read()


def test_it_stops_with_a_sentence_at_what_the_view_cannot_apply_and_a_person_may_skip_it(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    store = EventStore(redis_client, category)
    bad = store.append(
        "a",
        [Event("create"), Event("bonus", {"amount": 5}), Event("deposit", {"amount": 7})],
        expected=0,
    )[1]
    status, _, said = answer(category, "--view", "accounts")
    assert status == 1
    assert "'bonus'" in said
    assert bad.position in said
    status, _, said = answer(category, "--view", "accounts", "--skip", store.head())
    assert status == 1
    assert f"stands in front of {bad.position}" in said
    assert answer(category, "--view", "accounts", "--skip", bad.position)[0] == 0
    with run(category, "--view", "accounts") as process:
        the_view_holds(mongo, category, "a", funds=7, version=3)
        process.terminate()


def test_one_view_that_stops_does_not_hold_up_the_others(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    EventStore(redis_client, category).append(
        "a", [Event("create"), Event("bonus", {"amount": 5})], expected=0
    )
    with run(category) as process:
        the_view_holds(mongo, f"{category}_by_type", "bonus", events=1)
        the_view_holds(
            mongo, category, "a", version=1
        )  # the batch at whose end it stops is under way
        process.terminate()
        assert process.wait(20) == 1
        assert "stopped in front of" in process.stderr.read()


def test_the_status_says_how_far_each_view_is(redis_client: redis.Redis, category: str) -> None:
    store = EventStore(redis_client, category)
    AccountService(store).create("a")
    status, out, _ = answer(category, "--status")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "view",
        "accounts",
        "per_day",
        "by_type",
    ]
    assert out.splitlines()[1].split()[1:4] == [category, "0-0", "1"]
    status, out, _ = answer(category, "--rebuild", "accounts")
    assert (status, out) == (0, "view accounts: built anew from 1 events\n")
    _, out, _ = answer(category, "--status", "--view", "accounts")
    assert out.splitlines()[1].split()[1:] == [category, store.head(), "0", "0.0"]


def test_a_view_that_there_is_not_is_named(category: str) -> None:
    status, _, said = answer(category, "--view", "acounts")
    assert status == 1
    assert "'acounts'" in said
    assert "accounts, per_day, by_type" in said
    assert "--view NAME" in answer(category, "--skip", "1-1")[2]
