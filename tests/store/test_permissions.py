"""Each role of docs/permissions.md works with exactly the permissions that the page lists."""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo.database import Database

from eventlab import NEW, EventStore, PersonKeys, Projector, Repository, Subscription
from eventlab.accounts import Account, AccountService
from eventlab.accounts.views import AccountView
from eventlab.archive.backup import backup
from eventlab.archive.restore import restore
from tests.support.store import deposits, fill, write_original

Mongo = Database[dict[str, Any]]
PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
RIGHTS = {
    role: rights.replace("\\|", "|").split()
    for role, rights in re.findall(r"^\| (\w+) \| .* \| `(\+[^`]*)` \|$", PAGE.read_text(), re.M)
}
#: What the page adds for a category in slices: keys for all, and rights for two roles.
IN_SLICES = re.findall(
    r"\[slices\]\(slices.md\), add `(.*)`, and `(.*)` for the `operator` and `restore` roles\.",
    PAGE.read_text(),
)[0]


def connect_to(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    assert store.redis.ping()
    assert store.redis.info("memory")


def write(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    accounts = AccountService(store)
    accounts.create("b")
    accounts.deposit("b", 5, idempotency_key="k")
    accounts.deposit("b", 5, idempotency_key="k")
    Repository(store, Account, snapshot_every=1).retry("b", lambda each: each.deposit(1))
    assert Repository(store, Account, snapshot_every=1).load("b").funds == 6
    assert store.read("unknown") == []
    ticks = itertools.count(5000)
    EventStore(store.redis, store.category, slices=store.slices, clock=lambda: next(ticks)).append(
        "c", deposits(1), expected=NEW
    )


def read(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    admin.trim(before=admin.read("a")[1].position)
    assert store.ids() == ["a"]
    assert len(list(store.read_all(after=store.read("a")[0].position))) == 2
    assert len(store.read("a", reverse=True)) == store.version("a") == 3
    assert store.read("unknown") == []
    store.wait(after="0-0", seconds=1)
    assert store.head() == store.read("a")[-1].position
    assert not store.lacks(store.head())


def project(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    projector = Projector(store, mongo, AccountView(store.category))
    assert projector.catch_up() == 3
    admin.append("a", deposits(1), expected=3)
    assert projector.lag().events == 1
    assert projector.catch_up() == 1
    assert projector.rebuild_one("a") == 4


class NewerView(AccountView):
    version = 2


def rebuild(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    project(store, mongo, admin)
    projector = Projector(store, mongo, AccountView(store.category))
    projector.rebuild()
    admin.trim(before=admin.head())
    projector.rebuild()
    newer = Projector(store, mongo, NewerView(store.category))
    assert newer.catch_up() == 4
    newer.reset()


def consume(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    slice = admin.slice_of("a")
    letters = Subscription(store, "letters", consumer="c", max_failures=1)
    first, second, third = letters.receive(10)
    letters.ack([first])
    assert letters.fail(second, "no such street")
    assert letters.fail(third, "no such street")
    assert [each.event for each in letters.parked()] == [second, third]
    assert letters.replay(second.position) == 1
    assert letters.discard(third.position) == 1
    assert letters.receive(10, block=1) == [second]
    letters.ack([second])
    assert letters.lag().events == 0
    assert letters.receive(1, block=0.01) == []
    assert letters.close()
    in_order = Subscription(store, "in order", consumer="c", max_failures=1, ordered=True)
    assert in_order.receive(10) == [first]
    assert not in_order.fail(first, "no answer", outage=True)
    assert in_order.lag().paused
    in_order.ack([first])
    admin.redis.hset(slice.keys.subscription("in order")[4], "until", 0)
    assert in_order.receive(10, block=30) == [second]
    in_order.hand_back([second])
    assert in_order.receive(10) == [second]
    assert in_order.fail(second, "no such street")
    assert in_order.discard(second.position) == 1
    assert in_order.receive(10) == [third]
    admin.redis.xgroup_destroy(slice.keys.stream, "in order")
    Subscription(store, "in order", consumer="c", ordered=True)


def settle(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    settled = store.append("d", deposits(1), expected=NEW)
    store.settle(settled, disk=1)


def operate(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    Repository(admin, Account, snapshot_every=1).load("a")
    Subscription(admin, "letters", consumer="c").receive(10)
    assert store.verify() == []
    assert store.forget_group("letters")
    assert store.trim(before=admin.head()) == 2
    Repository(store, Account).drop_snapshots()
    store.drop()
    assert admin.ids() == []


def keep_keys(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    keys = PersonKeys(store.redis, store.category)
    assert keys.key_for_writing("c1") == keys.key_for_reading("c1")
    assert keys.forget("c1").rewritten


def save(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert backup(store, Path(folder)).new == 3
        assert backup(store, Path(folder)).new == 0


def restore_all(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    with tempfile.TemporaryDirectory() as folder:
        backup(admin, Path(folder))
        admin.drop()
        assert restore(store, Path(folder)) == 3


def adopt(store: EventStore, mongo: Mongo, admin: EventStore) -> None:
    admin.drop()
    write_original(admin, ("a", 2, "create", {}), ("a", 2, "deposit", {"amount": 1}))
    admin.redis.xgroup_create(admin.category, "node", id="0")
    assert store.adopt(renumber=True) == 2
    assert store.adopt() == 2


ROLES: dict[str, tuple[Callable[[EventStore, Mongo, EventStore], None], tuple[str, ...]]] = {
    "connect": (connect_to, ()),
    "writer": (write, ()),
    "reader": (read, ()),
    "projector": (project, ()),
    "rebuild": (rebuild, ("projector",)),
    "consumer": (consume, ()),
    "settle": (settle, ("writer",)),
    "operator": (operate, ()),
    "keys": (keep_keys, ()),
    "backup": (save, ()),
    "restore": (restore_all, ()),
    "adopt": (adopt, ()),
}


def test_page_lists_the_permissions_of_each_role() -> None:
    assert RIGHTS.keys() == ROLES.keys()


@pytest.mark.parametrize("role", ROLES)
def test_role_works_with_exactly_its_permissions(
    store: EventStore, mongo: Mongo, role: str
) -> None:
    assert_works(role, store, mongo, [store.category, f"{{{store.category}}}*"])


@pytest.mark.parametrize("role", [role for role in ROLES if role != "adopt"])
def test_role_works_in_slices_with_exactly_its_permissions(
    redis_client: redis.Redis, category: str, mongo: Mongo, role: str
) -> None:
    store = EventStore(redis_client, category, slices=64)
    for_slices, rights = IN_SLICES
    assert for_slices == "~{accountStream#*"
    patterns = [category, f"{{{category}}}*", f"{{{category}#*"]
    needs_more = role in ("operator", "restore")
    assert_works(role, store, mongo, patterns, rights.split() if needs_more else ())


def assert_works(
    role: str,
    store: EventStore,
    mongo: Mongo,
    patterns: Sequence[str],
    more: Sequence[str] = (),
) -> None:
    work, others = ROLES[role]
    rights = [right for each in (role, *others) for right in RIGHTS[each]]
    user = f"{role}-{store.category}"
    access = "%R~" if role == "reader" else "~"
    keys = [f"{access}{pattern}" for pattern in patterns]
    fill(store, 2)
    store.redis.execute_command("ACL", "SETUSER", user, "reset", "on", ">p", *keys, *rights, *more)
    path = store.redis.connection_pool.connection_kwargs["path"]
    try:
        with redis.Redis(unix_socket_path=path, username=user, password="p") as client:
            work(EventStore(client, store.category, slices=store.slices), mongo, store)
        # redis-py introduces itself, and does not mind if it may not. That it is there shows that
        # the log has what was refused to this user.
        log = store.redis.acl_log()
        refused = {str(entry["object"]) for entry in log if str(entry["username"]) == user}
        assert refused == {"client|setinfo"}
    finally:
        store.redis.execute_command("ACL", "DELUSER", user)
