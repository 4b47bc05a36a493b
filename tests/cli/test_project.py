"""``eventlab project``: it keeps the views up to date, and shows, rebuilds and repairs them."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest
import redis

from eventlab import Changes, Event, EventStore, JoinedProjector, Recorded
from eventlab.accounts import AccountService
from eventlab.cli import main
from eventlab.store.keys import START
from tests.support import command
from tests.support.store import fill
from tests.support.waiting import PATIENCE_SECONDS, wait_until


def start(category: str, *words: str) -> subprocess.Popen[str]:
    return command.start("project", f"--category={category}", f"--collection={category}", *words)


def run(category: str, *words: str) -> tuple[int, str, str]:
    return command.run("project", f"--category={category}", f"--collection={category}", *words)


def await_document(mongo: Any, collection: str, id: str, **fields: Any) -> None:
    wait_until(lambda: mongo[collection].find_one({"_id": id, **fields}))


def test_project_runs_until_sigterm_and_resumes_from_its_checkpoint(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    service = AccountService(EventStore(redis_client, category))
    service.create("a")
    for funds in (5, 10):
        with start(category) as process:
            service.deposit("a", 5)
            await_document(mongo, category, "a", funds=funds)
            await_document(mongo, f"{category}_by_type", "deposit", events=funds // 5)
            today = EventStore(redis_client, category).read("a")[-1].time.date().isoformat()
            per_day = {"events": funds // 5, "deposited": funds, "withdrawn": 0}
            await_document(mongo, f"{category}_per_day", today, **per_day)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0
            assert process.stderr is not None
            assert f"view {category}: active" in process.stderr.read()


def test_project_stops_at_an_event_that_the_view_cannot_apply_and_skips_it_on_request(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    store = EventStore(redis_client, category)
    events = [Event("create"), Event("bonus", {"amount": 5}), Event("deposit", {"amount": 7})]
    bad = store.append("a", events, expected=0)[1]
    status, _, error = run(category, "--view", "accounts")
    assert status == 1
    assert "'bonus'" in error
    assert bad.position in error
    status, _, error = run(category, "--view", "accounts", "--skip", store.head())
    assert status == 1
    assert bad.position in error
    status, out, _ = run(category, "--view", "accounts", "--skip", bad.position)
    assert (status, out) == (
        0,
        f"view accounts: skipped {bad.position}; restart the projector to resume\n",
    )
    with start(category, "--view", "accounts") as process:
        await_document(mongo, category, "a", funds=7, version=3)
        process.terminate()


def test_project_continues_with_the_other_views_when_one_stops(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    events = [Event("create"), Event("bonus", {"amount": 5})]
    EventStore(redis_client, category).append("a", events, expected=0)
    with start(category) as process:
        await_document(mongo, f"{category}_by_type", "bonus", events=1)
        # The events before the one that cannot be applied are committed first.
        await_document(mongo, category, "a", version=1)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 1
        assert process.stderr is not None
        assert f"view {category!r} stopped" in process.stderr.read()


def test_status_shows_the_checkpoint_and_the_lag_of_each_view(
    redis_client: redis.Redis, category: str
) -> None:
    store = EventStore(redis_client, category)
    AccountService(store).create("a")
    status, out, _ = run(category, "--status")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == ["view", "accounts", "per_day", "by_type"]
    assert lines[1][1:4] == [category, "0-0", "1"]
    assert lines[1][-1] == "s"
    status, out, _ = run(category, "--rebuild", "accounts", "--view", "accounts")
    assert (status, out) == (0, "view accounts: rebuilt from 1 event\n")
    _, out, _ = run(category, "--status", "--view", "accounts")
    assert out.splitlines()[1].split()[1:] == [category, store.head(), "0", "0", "s"]


def test_status_prints_json(redis_client: redis.Redis, category: str) -> None:
    AccountService(EventStore(redis_client, category)).create("a")
    status, out, _ = run(category, "--status", "--json", "--view", "by_type")
    assert status == 0
    [row] = json.loads(out)
    assert row.pop("seconds_behind") >= 0
    assert row == {
        "view": "by_type",
        "collection": f"{category}_by_type",
        "position": "0-0",
        "events_behind": 1,
        "exact": True,
    }


class Both:
    """One document per aggregate of two categories."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, event: Recorded, changes: Changes, category: str) -> None:
        changes[event.id].inc(category, 1)


def test_status_has_a_row_for_each_category_of_a_joined_view(
    redis_client: redis.Redis, category: str, mongo: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> tuple[int, str]:
        names = f"--category={category}", f"--collection={category}"
        return main.main(["project", *names, *words]), capsys.readouterr().out

    stores = [
        EventStore(redis_client, category),
        EventStore(redis_client, f"{category} + other", slices=64),  # read like two categories
    ]
    name = f"{category}_joined"
    with JoinedProjector(stores, mongo, Both(name)) as projector:
        for store, count in zip(stores, (1, 2), strict=True):
            fill(store, count)
        projector.catch_up()
        fill(stores[1], 3, id="b")
        status, out = call("--status", "--json")
        assert status == 0
        rows = [row for row in json.loads(out) if row["view"] == name]
        assert [
            (row["collection"], row["category"], row["position"], row["events_behind"])
            for row in rows
        ] == [
            (name, category, stores[0].head(), 0),
            (name, stores[1].category, START, 4),
        ]
        status, out = call("--status")
        shown = [line for line in out.splitlines() if line.startswith(name)]
        assert f"{name} ({category}) " in shown[0]
        assert f"{name} ({stores[1].category}) " in shown[1]
        _, out = call("--status", "--view", "accounts")
        assert name not in out
        mongo.projections.update_one({"_id": name}, {"$set": {"parts.0.position": ""}})
        status, out = call("--status")
        assert status == 1
        assert f"{name!r} has documents but no checkpoint" in out
        projector.reset()


def test_project_rebuilds_the_documents_of_one_account(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    service = AccountService(EventStore(redis_client, category))
    for id in ("a", "b"):
        service.create(id)
        service.deposit(id, 5)
    assert run(category, "--rebuild", "accounts")[0] == 0
    mongo[category].update_many({}, {"$set": {"funds": 7}})
    status, out, _ = run(category, "--rebuild", "accounts", "--id", "a")
    assert (status, out) == (0, "view accounts: documents of 'a' rebuilt from 2 events\n")
    found = {each["_id"]: each["funds"] for each in mongo[category].find()}
    assert found == {"a": 5, "b": 7}
    status, _, error = run(category, "--rebuild", "by_type", "--id", "a")
    assert status == 1
    assert f"view '{category}_by_type' does not promise" in error
    status, _, error = run(category, "--id", "a")
    assert status == 2
    assert "--id needs --rebuild" in error


def test_project_builds_the_documents_of_a_newer_version_and_status_shows_it(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    service = AccountService(EventStore(redis_client, category))
    service.create("a")
    assert run(category, "--rebuild", "accounts")[0] == 0
    mongo.projections.update_one({"_id": category}, {"$set": {"version": 0}})
    mongo[category].update_one({"_id": "a"}, {"$set": {"version": "as version 0 had it"}})
    status, out, _ = run(category, "--status", "--view", "accounts")
    assert status == 0
    _, row, note = out.splitlines()
    assert row.split()[1:4] == [category, "0-0", "1"]
    assert note.strip() == "a newer version, being built alongside version 0"
    _, out, _ = run(category, "--status", "--json", "--view", "accounts")
    assert json.loads(out)[0]["replaces"] == 0
    with start(category, "--view", "accounts") as process:
        await_document(mongo, category, "a", version=1)
        service.deposit("a", 5)
        await_document(mongo, category, "a", funds=5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr is not None
        states = [line.split(": ")[1].strip() for line in process.stderr]
        assert states == ["building version 1; the older one stays readable", "active"]
    _, out, _ = run(category, "--status", "--json", "--view", "accounts")
    assert "replaces" not in json.loads(out)[0]


def test_status_and_project_name_a_view_that_follows_another_category(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    AccountService(EventStore(redis_client, category)).create("a")
    for view in ("accounts", "per_day"):
        assert run(category, "--rebuild", view)[0] == 0
    other = f"{category}-other"
    AccountService(EventStore(redis_client, other)).create("b")
    words = [f"--category={other}", f"--collection={category}"]
    follows = f"follows category {category!r}, not {other!r}"
    status, out, _ = command.run("project", *words, "--status")
    assert status == 1
    assert [follows in line for line in out.splitlines()] == [False, True, True, False]
    status, out, _ = command.run("project", *words, "--status", "--json")
    assert [follows in row.get("error", "") for row in json.loads(out)] == [True, True, False]
    status, _, error = command.run("project", *words, "--rebuild", "accounts")
    assert status == 1
    assert follows in error
    with command.start("project", *words) as process:
        await_document(mongo, f"{category}_by_type", "create", events=1)  # the third one goes on
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 1
        assert process.stderr is not None
        said = process.stderr.read()
    assert said.count(follows) == 2
    assert "Traceback" not in said
    assert mongo[category].distinct("_id") == ["a"]
    EventStore(redis_client, other).drop()


def test_project_ends_a_view_with_one_sentence_whatever_a_server_answers(
    redis_client: redis.Redis, category: str
) -> None:
    redis_client.set(category, "no stream")
    status, _, error = run(category, "--view", "accounts")
    assert status == 1
    assert f"view {category} stopped: Redis: WRONGTYPE" in error
    assert "Traceback" not in error
