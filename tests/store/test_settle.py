"""Settling: what was appended is on disk, and at a replica."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import redis

from eventlab import NEW, EventStore, NotSettled
from eventlab.lessons.ports import free_port
from tests.support.private_redis import private_redis
from tests.support.store import deposits
from tests.support.waiting import wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
AT_ONCE = ("--repl-diskless-sync-delay", "0")  # the first replica need not wait for a second one


def client_of(client: redis.Redis) -> redis.Redis:
    """Return another client of the same Redis, with connections of its own."""
    return redis.Redis(unix_socket_path=client.get_connection_kwargs()["path"])


def test_settle_waits_for_disk_and_replica(tmp_path: Path) -> None:
    port = free_port()
    replica_of = ("--replicaof", f"127.0.0.1 {port}")
    with (
        private_redis(
            tmp_path / "m", *DURABLE, "--repl-diskless-sync-delay", "0", port=port
        ) as master,
        private_redis(tmp_path / "r", *DURABLE, *replica_of) as replica,
    ):
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
        store = EventStore(master, "accountStream")
        recorded = store.append("a", deposits(1, 2), expected=NEW)
        store.settle(recorded, disk=2, replicas=1)
        assert EventStore(replica, "accountStream").read("a") == recorded
        with pytest.raises(NotSettled, match="1 of 2 replicas"):
            store.settle(replicas=2, timeout=3)
        with pytest.raises(NotSettled, match="of 3 disks"):
            store.settle(disk=3, timeout=0.1)


def test_disk_of_a_replica_does_not_count_as_that_of_the_master(tmp_path: Path) -> None:
    port = free_port()
    replica_of = ("--replicaof", f"127.0.0.1 {port}")
    never = ("--appendonly", "yes", "--appendfsync", "no")
    with (
        private_redis(tmp_path / "m", *never, *AT_ONCE, port=port) as master,
        private_redis(tmp_path / "r", *DURABLE, *replica_of) as replica,
    ):
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
        replica.config_set("appendfsync", "always")
        store = EventStore(master, "accountStream")
        store.append("a", deposits(1), expected=NEW)
        # The replica has it on its disk, as WAITAOF reports; the master has not.
        assert master.execute_command("WAITAOF", 0, 1, 0) == [0, 1]
        with pytest.raises(NotSettled, match="0 of 1 disks"):
            store.settle(disk=1, replicas=1, timeout=4)
        master.config_set("appendfsync", "always")
        store.settle(disk=2, replicas=1)


def test_settle_covers_what_another_thread_and_connection_appended(tmp_path: Path) -> None:
    port = free_port()
    with (
        private_redis(tmp_path / "m", *AT_ONCE, port=port) as master,
        private_redis(tmp_path / "r", "--replicaof", f"127.0.0.1 {port}") as replica,
    ):
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
        store = EventStore(master, "accountStream")
        store.append("a", deposits(1), expected=NEW)
        store.settle(disk=0, replicas=1)
        # The replica gets no more: a connection that wrote nothing must not say otherwise.
        pid = replica.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            writer = threading.Thread(
                target=store.append, args=("b", deposits(1)), kwargs={"expected": NEW}
            )
            writer.start()
            writer.join()
            # A client of its own: the pool of the other would give it the connection of the writer.
            with client_of(master) as another:
                settled = EventStore(another, "accountStream")
                with pytest.raises(NotSettled, match="0 of 1 replicas"):
                    settled.settle(disk=0, replicas=1, timeout=0.2)
        finally:
            os.kill(pid, signal.SIGCONT)
        store.settle(disk=0, replicas=1)
        assert EventStore(replica, "accountStream").version("b") == 1


def test_settle_notices_events_that_a_failover_lost(store: EventStore) -> None:
    recorded = store.append("a", deposits(1), expected=NEW)
    store.settle(recorded)
    store.drop()
    with pytest.raises(NotSettled, match="version 1 of 'a' was lost"):
        store.settle(recorded)
    store.append("a", deposits(2), expected=NEW)
    with pytest.raises(NotSettled, match="version 1 of 'a' was lost"):
        store.settle(recorded)


def test_settle_says_what_to_configure(tmp_path: Path) -> None:
    with private_redis(tmp_path) as client:
        store = EventStore(client, "accountStream")
        with pytest.raises(NotSettled, match="no append-only file: run CONFIG SET appendonly yes"):
            store.settle()
        store.settle(disk=0)


def test_settle_without_waitaof_needs_an_fsync_before_each_reply(tmp_path: Path) -> None:
    """As before Redis 7.2."""
    hidden = ("--rename-command", "WAITAOF", "")
    with private_redis(tmp_path, *DURABLE, *hidden) as client:
        store = EventStore(client, "accountStream")
        with pytest.raises(NotSettled, match="does not report when it has fsynced: run CONFIG SET"):
            store.settle()
        client.config_set("appendfsync", "always")
        store.settle(store.append("a", deposits(1), expected=NEW))
        with pytest.raises(NotSettled, match="1 of 2 disks"):
            store.settle(disk=2, timeout=0.1)
