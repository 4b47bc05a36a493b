"""Processes that transfer money are killed with SIGKILL: the sum is always the same."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from pathlib import Path

import pytest
import redis

from eventlab import EventStore, Recorded
from eventlab.accounts import AccountService
from tests.support.processes import forked
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.crash

PROCESSES = 4
TRANSFERS = 1250  # of each process
KILLS = 40
ACCOUNTS = [f"account{number}" for number in range(20)]
FUNDS = 1000


def transfer(socket: str, category: str, folder: str, number: int) -> None:
    """Make the transfers of a process; after a restart, repeat the one that was under way."""
    with redis.Redis(unix_socket_path=socket) as client:
        service = AccountService(EventStore(client, category))
        record = Path(folder, str(number))
        done = len(record.read_bytes()) if record.exists() else 0
        with record.open("ab", buffering=0) as noted:
            for step in range(done, TRANSFERS):
                dice = random.Random(f"{number}:{step}")
                key = f"{number}:{step}"
                giver, taker = dice.sample(ACCOUNTS, 2)
                amount = dice.randint(1, 5)
                service.transfer(
                    giver, taker, amount, idempotency_key=key, meta={"key": key}, tries=1000
                )
                noted.write(b".")


def progress(folder: Path) -> int:
    return sum(len(path.read_bytes()) for path in folder.iterdir())


def assert_transfers_are_whole(events: list[Recorded]) -> None:
    """Assert that each transfer is a withdrawal and a deposit, side by side, and is stored once."""
    transfers = list(zip(events[::2], events[1::2], strict=True))
    for withdrawal, deposit in transfers:
        assert (withdrawal.type, deposit.type) == ("withdraw", "deposit")
        assert withdrawal.data == deposit.data
        assert withdrawal.meta == deposit.meta
        assert withdrawal.id != deposit.id
    keys = Counter(withdrawal.meta["key"] for withdrawal, _ in transfers if withdrawal.meta)
    assert set(keys.values()) == {1}
    assert len(keys) == PROCESSES * TRANSFERS == len(events) // 2


def test_no_transfer_is_half_done_or_done_twice_when_processes_are_killed(
    store: EventStore, tmp_path: Path
) -> None:
    service = AccountService(store)
    for id in ACCOUNTS:
        service.create(id)
        service.deposit(id, FUNDS)
    opened = store.head()
    socket = store.redis.connection_pool.connection_kwargs["path"]

    def start(number: int) -> multiprocessing.process.BaseProcess:
        process = forked(transfer, socket, store.category, str(tmp_path), number)
        process.start()
        return process

    processes = [start(number) for number in range(PROCESSES)]
    dice = random.Random(5)
    killed = 0
    for kill in range(1, KILLS + 1):
        goal = kill * PROCESSES * TRANSFERS // (KILLS + 2)
        wait_until(lambda goal=goal: progress(tmp_path) >= goal)
        victim = dice.randrange(PROCESSES)
        killed += processes[victim].is_alive()
        processes[victim].kill()
        processes[victim].join()
        processes[victim] = start(victim)
    for process in processes:
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0
    assert killed >= KILLS // 2
    assert_transfers_are_whole(list(store.read_all(after=opened)))
    assert sum(service.fetch(id).funds for id in ACCOUNTS) == len(ACCOUNTS) * FUNDS
    assert {id: service.fetch(id).funds for id in ACCOUNTS} == {
        id: AccountService(store, cache=0).fetch(id).funds for id in ACCOUNTS
    }
