"""The router while Redis rejects writes: nothing is sent twice, and nothing is in doubt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from eventlab.mailroom import work_items
from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.summary import Summary
from eventlab.store.answers import SERVER_ERRORS, is_outage
from tests.support.cluster import cluster
from tests.support.crash_servers import RedisServer
from tests.support.mailroom import Room, mail, room
from tests.support.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def here(server: RedisServer, category: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    """A mailroom whose clients do not retry, and whose router waits for Redis only for a moment."""
    monkeypatch.setattr(work_items, "MAX_OUTAGE_SECONDS", 0.2)
    impatient = redis.Redis(unix_socket_path=server.socket, retry=Retry(NoBackoff(), 0))
    with impatient as client, room(client, category) as made:
        yield made


def read_only(client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", "1")


def full(client: redis.Redis) -> None:
    client.config_set("maxmemory", 1)


def without_replicas(client: redis.Redis) -> None:
    client.config_set("min-replicas-to-write", 1)


def failing_disk(client: redis.Redis) -> None:
    """Make a snapshot fail: Redis then answers MISCONF."""
    (Path(client.config_get("dir")["dir"]) / "dump.rdb").mkdir(exist_ok=True)
    client.config_set("save", "3600 1")
    client.bgsave()
    wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


def healthy(client: redis.Redis) -> None:
    client.replicaof("NO", "ONE")
    client.config_set("save", "")
    client.config_set("maxmemory", 0)
    client.config_set("min-replicas-to-write", 0)


OUTAGES = [read_only, full, without_replicas, failing_disk]
Outage = Callable[[redis.Redis], None]


@pytest.mark.parametrize("outage", OUTAGES)
def test_watch_survives_a_redis_that_cannot_be_written_and_logs_it_once(
    server: RedisServer, here: Room, caplog: pytest.LogCaptureFixture, outage: Outage
) -> None:
    caplog.set_level(logging.INFO)
    [id] = here.deliver()
    hub = here.router()
    stop = threading.Event()
    rounds: list[str] = []
    run_once = hub.run_once
    with server.client() as client:
        outage(client)

        def counted(stop_now: threading.Event | None = None) -> Summary:
            rounds.append("begun")
            if len(rounds) == 4:
                healthy(client)
            return run_once(stop_now)

        hub.run_once = counted  # type: ignore[method-assign]
        hub.watch(stop, poll_interval=0.01, report=lambda _summary: stop.set())
    assert len(rounds) == 4
    assert here.accepted() == {id: 1}
    warnings = [record for record in caplog.records if "this round failed" in record.message]
    assert [record.levelno for record in warnings] == [logging.WARNING]
    assert "Redis is available again" in caplog.text


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("moment", ["between two intents", "before the fsync", "before the POST"])
def test_intent_that_was_not_sent_is_not_in_doubt_after_an_outage(
    server: RedisServer,
    here: Room,
    monkeypatch: pytest.MonkeyPatch,
    outage: Outage,
    moment: str,
) -> None:
    ids = here.deliver(3)
    hub = here.router()
    plain = {
        "between two intents": (hub._sender, "intend"),
        "before the fsync": (hub._durable_log, "wait_until_fsynced"),
        "before the POST": (hub._sender, "send"),
    }
    owner, name = plain[moment]
    before = getattr(owner, name)
    calls: list[int] = []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == (1 if "fsync" in moment else 2):
            outage(client)
            if moment == "before the POST":
                here.store.redis.set("x", 1)  # type: ignore[union-attr]
        return before(*arguments)

    with server.client() as client:
        monkeypatch.setattr(owner, name, failing)
        with pytest.raises(SERVER_ERRORS) as error:
            hub.run_once()
        assert is_outage(error.value)
        healthy(client)
        monkeypatch.undo()
        summaries = [hub.run_once(), hub.run_once()]
    assert here.accepted() == dict.fromkeys(ids, 1)
    assert [here.status(id) for id in ids] == ["submitted"] * 3
    assert sum(summary.held + summary.duplicates for summary in summaries) == 0
    assert [id for id in ids if "in_doubt" in here.types(id)] == []


def test_outcome_that_redis_did_not_take_is_recorded_in_the_next_round(
    server: RedisServer, here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    [id] = here.deliver()
    hub = here.router()
    post = hub._cxone.post_work_item

    def taken_and_redis_is_full(**fields: Any) -> str | None:
        contact_id = post(**fields)
        full(client)
        return contact_id

    with server.client() as client:
        monkeypatch.setattr(hub._cxone, "post_work_item", taken_and_redis_is_full)
        with pytest.raises(SERVER_ERRORS):
            hub.run_once()
        assert here.status(id) == "submitting"
        healthy(client)
    assert hub.run_once() == Summary(submitted=1)
    assert (here.status(id), here.accepted()) == ("submitted", {id: 1})


def test_unsure_intent_never_closes_the_attempt_of_another_router(here: Room) -> None:
    """Redis failed while an intent was recorded, and another router has taken the mail."""
    [id] = here.deliver()
    hub = here.router()
    hub._inbox.receive()
    sender = hub._sender
    [(_id, message)] = list(hub._inbox.fetch([id]))
    save = sender._work_items.save

    def lost(_item: object) -> bool:
        raise redis.ConnectionError("lost")

    sender._work_items.save = lost  # type: ignore[method-assign]
    with pytest.raises(redis.ConnectionError):
        sender.intend(id, sender.prepare(message))
    sender._work_items.save = save  # type: ignore[method-assign]
    here.under_way(id, deadline=DurableLog(here.store).now() + 60_000)
    sender.record_owed()
    assert here.types(id) == ["received", "submitting"]
    assert here.item(id).router == "another"


def test_wait_that_a_failover_unblocks_sends_nothing_and_leaves_no_doubt(
    server: RedisServer, here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A master that becomes a replica sends UNBLOCKED to every waiting client."""
    [id] = here.deliver()
    hub = here.router()
    monkeypatch.setattr(hub._durable_log, "_replicas", lambda: 1)  # there is none: it waits
    unblocked: list[int] = []

    def unblock() -> None:
        with server.client() as client:
            blocked = wait_until(
                lambda: [one["id"] for one in client.client_list() if "b" in one["flags"]]
            )
            unblocked.append(client.client_unblock(blocked[0], error=True))

    thread = threading.Thread(target=unblock)
    thread.start()
    with pytest.raises(redis.ResponseError, match="UNBLOCKED") as error:
        hub.run_once()
    thread.join()
    assert (unblocked, is_outage(error.value)) == ([1], True)
    assert (here.accepted(), here.types(id)[-1]) == ({}, "unsent")
    monkeypatch.undo()
    assert hub.run_once() == Summary(submitted=1)


def test_watch_survives_a_cluster_that_is_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with cluster(tmp_path) as client, room(client, "mailStream") as here:  # type: ignore[arg-type]
        slot = client.keyslot("mailStream")
        owner = client.get_node_from_key("mailStream").redis_connection
        client.config_set("appendonly", "yes", target_nodes=client.get_node_from_key("mailStream"))
        hub = here.router()
        hub.run_once()
        here.both.gmail.deliver(mail())
        stop = threading.Event()
        rounds: list[int] = []
        run_once = hub.run_once

        def counted(stop_now: threading.Event | None = None) -> Summary:
            rounds.append(1)
            if len(rounds) == 2:
                owner.execute_command("CLUSTER", "ADDSLOTS", slot)
                wait_until(
                    lambda: (
                        b"cluster_state:ok"
                        in owner.execute_command("CLUSTER", "INFO", NEVER_DECODE=True)
                    )
                )
            return run_once(stop_now)

        hub.run_once = counted  # type: ignore[method-assign]
        owner.execute_command("CLUSTER", "DELSLOTS", slot)
        hub.watch(stop, poll_interval=0.01, report=lambda summary: stop.set())
        assert len(rounds) == 2
        assert sum(here.accepted().values()) == 1
    assert "this round failed, and the next round tries again: Redis" in caplog.text
