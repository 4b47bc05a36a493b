"""Two services, and whatever can go wrong between them: each command counts once, or is refused, as in a dict."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from eventlab import EventStore, VersionConflict
from eventlab.accounts import AccountService, InsufficientFunds, UnknownAccount
from eventlab.sandbox import LossyProxy
from eventlab.servers import connect

ids = st.sampled_from(["a", "b"])
amounts = st.integers(1, 50)
which = st.integers(0, 1)


class Services(RuleBasedStateMachine):
    """One service beyond a proxy that loses answers, one without; both with cache and snapshots."""

    def __init__(self) -> None:
        super().__init__()
        self.lab = connect()
        self.folder = tempfile.TemporaryDirectory()
        category = f"test-services-{uuid.uuid4().hex[:8]}"
        path = self.lab.redis.connection_pool.connection_kwargs["path"]
        self.proxy = LossyProxy(Path(self.folder.name) / "p", path)
        self.far = redis.Redis(unix_socket_path=self.proxy.path)
        self.stores = [EventStore(self.far, category), EventStore(self.lab.redis, category)]
        self.services = [AccountService(store, snapshot_every=3) for store in self.stores]
        self.funds: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.answers: dict[tuple[str, str], tuple[str, int | None]] = {}

    def teardown(self) -> None:
        self.stores[1].drop()
        self.far.close()
        self.proxy.close()
        self.lab.close()
        self.folder.cleanup()

    def counted(self, id: str, change: int) -> None:
        self.funds[id] = self.funds.get(id, 0) + change
        self.versions[id] = self.versions.get(id, 0) + 1

    @rule(which=which, id=ids)
    def create(self, which: int, id: str) -> None:
        if id not in self.funds:
            self.services[which].create(id)
            self.counted(id, 0)

    @rule(which=which, id=ids, amount=amounts, lost=st.integers(0, 2))
    def deposit(self, which: int, id: str, amount: int, lost: int) -> None:
        self.proxy.lose(lost, b"EVALSHA")
        try:
            event = self.services[which].deposit(id, amount)
        except UnknownAccount:
            assert id not in self.funds
            return
        finally:
            self.proxy.lose(0, b"")
        self.counted(id, amount)
        assert event.version == self.versions[id]

    @rule(which=which, id=ids, amount=amounts, key=st.sampled_from(["k1", "k2"]), lost=st.integers(0, 1))
    def withdraw_with_a_key(self, which: int, id: str, amount: int, key: str, lost: int) -> None:
        if id not in self.funds:
            return
        earlier = self.answers.get((id, key))
        amount = int(earlier[0]) if earlier else amount
        self.proxy.lose(lost, b"EVALSHA")
        try:
            event = self.services[which].withdraw(id, amount, once=key)
        except InsufficientFunds:
            assert earlier[1] is None if earlier else self.funds[id] < amount
            self.answers[id, key] = (str(amount), None)  # the first answer stands, a refusal too
            return
        finally:
            self.proxy.lose(0, b"")
        if earlier:
            assert event.version == earlier[1]
        else:
            self.counted(id, -amount)
            self.answers[id, key] = (str(amount), event.version)

    @rule(which=which, id=ids, amount=amounts)
    def conflict(self, which: int, id: str, amount: int) -> None:
        if id not in self.funds:
            return
        repository = self.services[which].accounts
        stale = repository.load(id)
        self.services[1 - which].deposit(id, amount)
        self.counted(id, amount)
        stale.deposit(1)
        try:
            repository.save(stale)
        except VersionConflict as conflict:
            assert conflict.actual == self.versions[id]  # noqa: PT017
            assert len(stale.changes) == 1
        else:
            raise AssertionError("a stale decision was stored")

    @rule(id=ids, damage=st.sampled_from([None, b"", b"junk", b"\0\0\0\0{}"]))
    def lose_a_snapshot(self, id: str, damage: bytes | None) -> None:
        key = self.stores[0].keys.snapshot(id)
        if damage is None:
            self.lab.redis.delete(key)
        else:
            self.lab.redis.set(key, damage)

    @invariant()
    def all_agree(self) -> None:
        fresh = AccountService(self.stores[1])
        for id, funds in self.funds.items():
            for service in (*self.services, fresh):
                balance = service.fetch(id)
                assert (balance.funds, balance.version) == (funds, self.versions[id])


TestServices = Services.TestCase
TestServices.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
