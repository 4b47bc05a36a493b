"""Logs that Redis lost or that were written again: noticed by an append and by a read."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from eventlab import (
    ANY,
    NEW,
    Event,
    EventStore,
    LogMissing,
    LogReplaced,
    NotAdopted,
    Repository,
    VersionConflict,
)
from eventlab.accounts import Account
from tests.support.store import contents, deposits, fill, write_original

# ------------------------------------------------------------------------ written again


@pytest.mark.parametrize("meta", [None, {"correlation_id": "c"}])
@pytest.mark.parametrize("data", [{}, {"note": ',"old"]'}])
def test_append_notices_a_log_that_was_written_again_to_the_same_version(
    redis_client: redis.Redis, category: str, meta: Any, data: dict[str, str]
) -> None:
    store = EventStore(redis_client, category, clock=lambda: 5000)
    events = [Event("create", data, meta)]
    store.append("a", events, expected=NEW, token="old")
    [page] = store.pages("a")
    known = (page.events[-1].position, page.tokens[-1])
    assert known == ("5000-0", "old")
    store.drop()
    store.append("a", events, expected=NEW, token="new")
    before = contents(store)
    with pytest.raises(
        LogReplaced, match="version 1 of 'a' is not the event that was loaded"
    ) as replaced:
        store.append("a", deposits(1), expected=1, newest=known)
    assert (replaced.value.expected, replaced.value.actual) == (1, 1)
    with pytest.raises(LogReplaced):  # adopted events have no token: only the position tells
        store.append("a", deposits(1), expected=1, newest=("4999-0", "new"))
    assert contents(store) == before
    assert store.append("a", deposits(1), expected=1, newest=("5000-0", "new"))[0].version == 2
    assert store.append("a", deposits(1), expected=2)[0].version == 3


def test_repository_decides_again_on_a_log_that_was_written_again(
    redis_client: redis.Redis, category: str
) -> None:
    store = EventStore(redis_client, category, clock=lambda: 5000)
    fill(store, 10)
    accounts = Repository(store, Account)
    account = accounts.load("a")
    account.deposit(1)
    store.drop()
    fill(store, 10, amount=7)
    with pytest.raises(VersionConflict):
        accounts.save(account)
    funds = []

    def decide(account: Account) -> None:
        if not funds:
            store.drop()
            fill(store, 10, amount=9)
        funds.append(account.funds)
        account.deposit(1)

    accounts.retry("a", decide)
    assert funds == [70, 90]
    assert accounts.load("a").funds == 91


def test_save_continues_what_was_loaded_saved_or_adopted(store: EventStore) -> None:
    write_original(store, ("a", 1, "create", {}), ("a", 2, "deposit", {"amount": 5}))
    store.adopt()
    account = Repository(store, Account, cache=0).load("a")
    for key in (None, "k", None, None):
        account.deposit(1)
        Repository(store, Account).save(account, idempotency_key=key, meta={"by": "x"})
    assert account.version == store.version("a") == 6


# -------------------------------------------------------------------------------- evicted


@pytest.mark.parametrize("expected", [NEW, ANY, 2])
def test_append_and_read_refuse_an_aggregate_whose_log_was_evicted(
    store: EventStore, expected: Any
) -> None:
    fill(store, 1)
    store.redis.delete(store.keys.log("a"))
    before = contents(store)
    for call in (
        lambda: store.append("a", deposits(1), expected=expected),
        lambda: store.read("a"),
        lambda: store.version("a"),
        lambda: Repository(store, Account).load("a"),
    ):
        with pytest.raises(LogMissing, match="maxmemory-policy") as missing:
            call()
        assert missing.value.id == "a"
    assert contents(store) == before
    assert store.append("b", deposits(1), expected=NEW)[0].version == 1


@pytest.mark.parametrize(
    ("lost", "error"),
    [(["stream"], LogMissing), (["stream", "ids"], LogMissing), (["ids"], NotAdopted)],
)
def test_append_refuses_a_category_whose_other_keys_were_evicted(
    store: EventStore, lost: list[str], error: type[Exception]
) -> None:
    fill(store, 1)
    store.redis.delete(*(getattr(store.keys, name) for name in lost))
    with pytest.raises(error):
        store.append("a", deposits(1), expected=2)
