"""A model test: whatever goes wrong, each command counts exactly once or is rejected."""

from __future__ import annotations

import tempfile
import uuid
import zlib
from pathlib import Path

import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from eventlab import EventStore, VersionConflict
from eventlab.accounts import Account, AccountService, InsufficientFunds, UnknownAccount
from eventlab.lessons import LossyProxy
from eventlab.servers import connect
from tests.support.examples import examples

ids = st.sampled_from(["a", "b"])
amounts = st.integers(1, 50)
which = st.integers(0, 1)
NOWHERE = redis.Redis(unix_socket_path="/nowhere", retry=None)


class Services(RuleBasedStateMachine):
    """One service behind a proxy that loses replies, one without; both have a cache and snapshots.

    The cache has room for one of the two accounts, so a state comes from the cache or from a
    snapshot that either service may have stored.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lab = connect()
        self.folder = tempfile.TemporaryDirectory()
        category = f"test-services-{uuid.uuid4().hex[:8]}"
        path = self.lab.redis.connection_pool.connection_kwargs["path"]
        self.raw = redis.Redis(unix_socket_path=path)  # bytes, as they are
        self.proxy = LossyProxy(Path(self.folder.name) / "p", path)
        self.far = redis.Redis(unix_socket_path=self.proxy.path)
        # This one never retries, so that its service sees the errors.
        self.impatient = redis.Redis(unix_socket_path=self.proxy.path, retry=None)
        self.stores = [EventStore(self.far, category), EventStore(self.lab.redis, category)]
        self.services = [AccountService(store, snapshot_every=3, cache=1) for store in self.stores]
        self.without_retries = AccountService(
            EventStore(self.impatient, category), snapshot_every=3
        )
        self.funds: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.answers: dict[tuple[str, str], tuple[str, int | None]] = {}

    def teardown(self) -> None:
        self.stores[1].drop()
        self.raw.close()
        self.far.close()
        self.impatient.close()
        self.proxy.close()
        self.lab.close()
        self.folder.cleanup()

    def counted(self, id: str, change: int) -> None:
        self.funds[id] = self.funds.get(id, 0) + change
        self.versions[id] = self.versions.get(id, 0) + 1

    @initialize()
    def one_is_there(self) -> None:
        self.create(0, "a")

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

    @rule(
        which=which,
        id=ids,
        amount=amounts,
        key=st.sampled_from(["k1", "k2"]),
        lost=st.integers(0, 1),
    )
    def withdraw_with_a_key(self, which: int, id: str, amount: int, key: str, lost: int) -> None:
        if id not in self.funds:
            return
        earlier = self.answers.get((id, key))
        amount = int(earlier[0]) if earlier else amount
        self.proxy.lose(lost, b"EVALSHA")
        try:
            event = self.services[which].withdraw(id, amount, idempotency_key=key)
        except InsufficientFunds:
            assert earlier[1] is None if earlier else self.funds[id] < amount
            self.answers[id, key] = (
                str(amount),
                None,
            )  # the first outcome counts, even a rejection
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

    @rule(which=which, id=ids, amount=amounts, rivals=st.integers(1, 3))
    def overtaken(self, which: int, id: str, amount: int, rivals: int) -> None:
        """Withdraw everything while others deposit: only the last try has seen every deposit."""
        if id not in self.funds:
            return
        left = list(range(rivals))

        def take_all(account: Account) -> None:
            account.deposit(amount)
            account.withdraw(account.funds)
            if left:
                left.pop()
                self.services[1 - which].deposit(id, amount)

        events = self.services[which].accounts.retry(id, take_all)
        self.versions[id] += rivals + 2
        self.funds[id] += amount * (rivals + 1)
        assert [event.data["amount"] for event in events] == [amount, self.funds[id]]
        self.funds[id] = 0

    @rule(id=ids, amount=amounts, key=st.uuids())
    def cut_for_good(self, id: str, amount: int, key: uuid.UUID) -> None:
        """The outcome is in doubt (the event was stored), and the same key resolves it."""
        if id not in self.funds:
            return
        self.without_retries.fetch(id)
        self.proxy.lose(1, b"EVALSHA")
        try:
            self.without_retries.deposit(id, amount, idempotency_key=str(key))
        except redis.ConnectionError:
            pass
        else:
            raise AssertionError("the connection was not cut")
        self.counted(id, amount)
        assert self.without_retries.fetch(id).funds == self.funds[id]
        assert (
            self.without_retries.deposit(id, amount, idempotency_key=str(key)).version
            == self.versions[id]
        )

    @rule(id=ids, amount=amounts)
    def cut_before(self, id: str, amount: int) -> None:
        """Nothing is sent: the aggregate is unchanged, and can be saved after the outage."""
        if id not in self.funds:
            return
        repository = self.without_retries.accounts
        account = repository.load(id)
        account.deposit(amount)
        before = (account.funds, account.version, account.position, list(account.changes))
        store = repository.store
        repository.store = EventStore(NOWHERE, store.category)
        try:
            repository.save(account)
        except redis.ConnectionError:
            assert (account.funds, account.version, account.position, account.changes) == before
        else:
            raise AssertionError("it was saved without a connection")
        finally:
            repository.store = store
        assert repository.load(id).funds == self.funds[id]
        repository.save(account)
        self.counted(id, amount)

    @rule(
        id=ids,
        damage=st.sampled_from([None, b"", b"junk", b"\0\0\0\0{}", "other", "turned", "emptied"]),
    )
    def lose_a_snapshot(self, id: str, damage: bytes | str | None) -> None:
        key = self.stores[0].keys.snapshot(id)
        kept = self.raw.get(
            self.stores[0].keys.snapshot("b" if id == "a" else "a") if damage == "other" else key
        )
        if isinstance(damage, bytes):
            self.raw.set(key, damage)
        elif damage == "other" and kept:  # intact, but of another account
            self.raw.set(key, kept)
        elif damage == "turned" and kept:  # one bit is flipped
            self.raw.set(key, kept[:-3] + bytes([kept[-3] ^ 1]) + kept[-2:])
        elif damage == "emptied" and kept:  # intact, but of another program
            text = b"[1]"
            self.raw.set(key, zlib.crc32(text).to_bytes(4) + text)
        else:
            self.raw.delete(key)

    @invariant()
    def all_agree(self) -> None:
        without, fresh = (
            AccountService(self.stores[1]),
            AccountService(self.stores[1], snapshot_every=3),
        )
        for id, funds in self.funds.items():
            for service in (*self.services, self.without_retries, without, fresh):
                balance = service.fetch(id)
                assert (balance.funds, balance.version) == (funds, self.versions[id])


TestServices = Services.TestCase
TestServices.settings = settings(max_examples=examples(60), stateful_step_count=25, deadline=None)
