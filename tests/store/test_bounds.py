"""What one command may read or delete: bounded in events and bytes, counted by Redis."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from eventlab import NEW, Event, EventStore, Repository
from eventlab.accounts import Account
from eventlab.store.paging import (
    FIRST_PAGE,
    KEYS_PAGE,
    LIGHT_BYTES,
    LIGHT_PAGE,
    MAX_PAGE,
    PAGE_BYTES,
)
from tests.support.store import append_deposits, fill

LARGE = Event("note", {"text": "x" * 200_000})
MOST_BYTES = MAX_PAGE * 201_000  # 50 MB, which Redis sends in about 42 ms
WARM = FIRST_PAGE * 201_000


class Replies:
    """Notes each reply of a client: the command, and the events and bytes in it."""

    def __init__(
        self, store: EventStore, monkeypatch: pytest.MonkeyPatch, *, denied: str = ""
    ) -> None:
        self.sizes: list[tuple[str, int, int]] = []
        self.arguments: list[tuple[Any, ...]] = []
        plain = store.redis.execute_command

        def noted(*args: Any, **options: Any) -> Any:
            if args[0] == denied:
                raise NoPermissionError("NOPERM")
            reply = plain(*args, **options)
            self.arguments.append(args)
            if args[0] == "LRANGE":
                self.sizes.append(("LRANGE", len(reply), sum(map(len, reply))))
            if args[0] == "XRANGE":
                weight = sum(len(text) for _, fields in reply for text in fields.values())
                self.sizes.append(("XRANGE", len(reply), weight))
            return reply

        monkeypatch.setattr(store.redis, "execute_command", noted)

    def commands(self, name: str) -> list[tuple[Any, ...]]:
        return [args for args in self.arguments if args[0] == name]


@pytest.mark.parametrize("small", [0, 1000])
def test_pages_of_large_events_are_bounded_in_bytes_also_after_small_ones(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    if small:
        fill(store, small - 1)
    for _ in range(3):
        store.append("a", [LARGE] * 100, expected=store.version("a"))
    replies = Replies(store, monkeypatch)
    assert len(store.read("a")) == len(list(store.read_all())) == small + 300
    for kind in ("LRANGE", "XRANGE"):
        pages = [(count, weight) for name, count, weight in replies.sizes if name == kind]
        assert max(count for count, _ in pages) <= MAX_PAGE
        assert max(weight for _, weight in pages) <= (MOST_BYTES if small else WARM)
        # After the first large page they are small.
        assert all(weight <= PAGE_BYTES + 201_000 for _, weight in pages[-8:-1])


def test_events_of_a_light_key_come_in_few_pages(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 2999)
    replies = Replies(store, monkeypatch)
    assert len(store.read("a")) == len(list(store.read_all())) == 3000
    pages = [FIRST_PAGE, LIGHT_PAGE, LIGHT_PAGE, 3000 - FIRST_PAGE - 2 * LIGHT_PAGE]
    for kind in ("LRANGE", "XRANGE"):
        assert [count for name, count, _ in replies.sizes if name == kind] == pages
    # The log is measured before each page but the first, and the stream once until it grows.
    assert len(replies.commands("MEMORY USAGE")) == len(pages) - 1 + 1


def test_key_that_grows_while_it_is_read_is_read_in_smaller_pages(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, LIGHT_PAGE + 2 * FIRST_PAGE)
    replies = Replies(store, monkeypatch)
    logs = store.pages("a")
    stream = store.read_all()
    read = [len(next(logs).events), len(list(islice(stream, FIRST_PAGE + 1)))]
    for _ in range(3):
        store.append("a", [LARGE] * 100, expected=store.version("a"))
    read[0] += sum(len(page.events) for page in logs)
    read[1] += len(list(stream))
    assert read == [store.version("a")] * 2
    for kind in ("LRANGE", "XRANGE"):
        assert max(weight for name, _, weight in replies.sizes if name == kind) <= MOST_BYTES


def test_user_who_may_not_ask_for_sizes_reads_smaller_pages(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 999)
    replies = Replies(store, monkeypatch, denied="MEMORY USAGE")
    assert len(store.read("a")) == len(list(store.read_all())) == 1000
    assert {count for _, count, _ in replies.sizes} == {FIRST_PAGE, MAX_PAGE, 200}


def test_key_that_is_not_light_is_read_in_smaller_pages(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 999)
    store.append("a", [LARGE] * (LIGHT_BYTES // 200_000 + 1), expected=1000)
    replies = Replies(store, monkeypatch)
    store.read("a")
    list(store.read_all())
    assert max(count for _, count, _ in replies.sizes) == MAX_PAGE


def test_time_travel_folds_a_long_log_page_by_page(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 2999)
    at = store.read("a", after=999, limit=1)[0].time
    held = []
    plain = Account.apply

    def counted(account: Account, event: Any) -> None:
        held.append(len(replies.sizes))
        plain(account, event)

    monkeypatch.setattr(Account, "apply", counted)
    replies = Replies(store, monkeypatch)
    accounts = Repository(store, Account)
    for load in (
        lambda: accounts.load("a", version=2500),
        lambda: accounts.load("a", at=at),
        lambda: accounts.load("a"),
    ):
        held.clear()
        replies.sizes.clear()
        load()
        # When event n is applied, no more pages were read than those up to it.
        assert held[0] == 1
        assert held[FIRST_PAGE + MAX_PAGE - 1] == 2
        assert max(count for _, count, _ in replies.sizes) <= LIGHT_PAGE
    assert accounts.load("a", version=2500).funds == 2499


def test_drop_and_drop_snapshots_delete_in_pages_and_only_unlink(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"a{n}" for n in range(KEYS_PAGE + 5)]
    accounts = Repository(store, Account, snapshot_every=1)
    for id in ids:
        fill(store, 1, id)
        accounts.load(id)
    snapshots = [store.keys.snapshot(id) for id in ids]
    assert store.redis.exists(*snapshots) == len(ids)
    replies = Replies(store, monkeypatch)
    accounts.drop_snapshots()
    assert [len(args) - 1 for args in replies.commands("UNLINK")] == [KEYS_PAGE, 5]
    assert store.redis.exists(*snapshots) == 0
    store.drop()
    assert max(len(args) - 1 for args in replies.commands("UNLINK")) == KEYS_PAGE
    assert not replies.commands("DEL")
    assert not list(store.redis.scan_iter(match=store.keys.pattern()))


def test_forget_group_frees_its_pending_events_page_by_page(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("a", [Event("x")] * (2 * KEYS_PAGE + 5), expected=NEW)
    store.redis.xgroup_create(store.category, "letters", id="0")
    store.redis.xreadgroup("letters", "c", {store.category: ">"}, count=5000)
    replies = Replies(store, monkeypatch)
    assert store.forget_group("letters")
    names = [args[0] for args in replies.arguments if args[0] in ("XACK", "XGROUP")]
    assert names == ["XACK", "XACK", "XACK", "XGROUP"]
    assert max(len(args) - 3 for args in replies.commands("XACK")) == KEYS_PAGE
    assert not store.forget_group("letters")
    store.drop()
    assert not store.forget_group("letters")


def test_adopt_again_adds_the_ids_in_pages(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(KEYS_PAGE + 5):
        append_deposits(store, f"a{n}", 1)
    replies = Replies(store, monkeypatch)
    assert store.adopt() == KEYS_PAGE + 5
    assert [len(args) - 2 for args in replies.commands("SADD")] == [KEYS_PAGE, 5]
    assert not replies.commands("SUNIONSTORE")
