"""The exercises of 08_two_accounts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eventlab import (
    NEW,
    Aggregate,
    CommandRejected,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidArgument,
    Recorded,
    Repository,
    Subscription,
    VersionConflict,
    connect,
)
from eventlab.accounts import Account, AccountService
from eventlab.lessons.exercise import Exercise, Wrong

ENOUGH = 50  # writes; four are needed


class Killed(BaseException):
    """The process that runs the answer is killed here. Not an Exception: nothing may catch it."""


class Contested(EventStore):
    """A store in which other writers are faster, and in which the writer may be killed.

    ``rivals`` are appended one by one, before the answer's writes. ``early`` is appended before the
    first call of ``version``. After ``lives`` writes, the next write kills the process.
    """

    rivals: list[tuple[str, Event]]
    early: tuple[str, Event] | None = None
    lives: int = ENOUGH

    def version(self, id: str) -> int:
        if self.early is not None and self.early[0] == id:
            rival = self.early[1]
            self.early = None
            super().append(id, [rival], expected=super().version(id))
        return super().version(id)

    def append(self, id: str, events: Any, **options: Any) -> list[Recorded]:
        self._before_a_write()
        return super().append(id, events, **options)

    def commit(self, writes: Any, **options: Any) -> dict[str, list[Recorded]]:
        self._before_a_write()
        return super().commit(writes, **options)

    def _before_a_write(self) -> None:
        if self.lives == 0:
            raise Killed
        self.lives -= 1
        if self.rivals:
            id, event = self.rivals.pop(0)
            super().append(id, [event], expected=super().version(id))


@contextmanager
def contested(logs: dict[str, list[Event]]) -> Iterator[Contested]:
    """Open a store of its own with these events, and drop it at the end."""
    with connect() as lab:
        store = Contested(lab.redis, f"exerciseTwoAccounts-{secrets.token_hex(4)}")
        try:
            for id, events in logs.items():
                EventStore.append(store, id, events, expected=NEW)
            store.rivals = []
            yield store
        finally:
            store.drop()


# --------------------------------------------------------------------- exercise 1: a transfer


def account(funds: int) -> list[Event]:
    return [Event("create"), Event("deposit", {"amount": funds})]


def deposit(amount: int) -> Event:
    return Event("deposit", {"amount": amount})


def withdrawal(amount: int) -> Event:
    return Event("withdraw", {"amount": amount})


def _transferred(
    transfer: Callable[..., object],
    *arguments: Any,
    rivals: Sequence[tuple[str, Event]] = (),
    lives: int = ENOUGH,
) -> tuple[dict[str, int], str]:
    """Return the funds of Ann (100), Bob (50) and Cid (7), and what stopped the transfer."""
    with contested({"Ann": account(100), "Bob": account(50), "Cid": account(7)}) as store:
        store.rivals = list(rivals)
        store.lives = lives
        accounts = Repository(store, Account)
        stopped = ""
        try:
            transfer(accounts, *arguments)
        except Killed:
            stopped = "killed"
        except CommandRejected:
            stopped = "rejected"
        except VersionConflict as conflict:
            raise Wrong(
                "another writer was faster, and you stopped: after a conflict, load and decide "
                "again. Which method of the repository does that for several accounts?"
            ) from conflict
        store.rivals = []
        store.lives = ENOUGH
        return {id: Repository(store, Account).load(id).funds for id in store.ids()}, stopped


def _judge_transfer(transfer: Callable[..., object]) -> None:
    funds, stopped = _transferred(transfer, "Ann", "Bob", 40)
    if stopped:
        raise Wrong("Ann has 100, but a transfer of 40 to Bob, who has 50, was rejected.")
    if funds != {"Ann": 60, "Bob": 90, "Cid": 7}:
        raise Wrong(
            f"Ann has 100, and gives 40 to Bob, who has 50; afterward the accounts hold {funds}."
        )
    funds, stopped = _transferred(transfer, "Bob", "Cid", 3)
    if funds != {"Ann": 100, "Bob": 47, "Cid": 10}:
        raise Wrong(
            f"Bob has 50, and gives 3 to Cid, who has 7; afterward the accounts hold {funds}. Use "
            "the arguments."
        )
    # First the kill, then the overdraft: two appends fail here, whatever their order.
    funds, stopped = _transferred(transfer, "Ann", "Bob", 40, lives=1)
    if sum(funds.values()) != 157:
        raise Wrong(
            f"your process was killed after its first append, and now the accounts hold {funds}. "
            "One commit must write both accounts."
        )
    funds, stopped = _transferred(transfer, "Ann", "Bob", 101)
    if funds != {"Ann": 100, "Bob": 50, "Cid": 7}:
        raise Wrong(f"Ann has 100 and gives 101; afterward the accounts hold {funds}.")
    if stopped != "rejected":
        raise Wrong(
            "Ann has 100 and gives 101: nothing is stored, but the caller does not learn that. Do "
            "not catch CommandRejected."
        )
    funds, stopped = _transferred(transfer, "Ann", "Bob", 40, rivals=[("Bob", deposit(5))])
    if funds != {"Ann": 60, "Bob": 95, "Cid": 7}:
        raise Wrong(
            "between your read and your write, Bob got 5 from another customer. Afterward the "
            f"accounts hold {funds}: after a conflict, load and decide again."
        )
    funds, stopped = _transferred(transfer, "Ann", "Bob", 40, rivals=[("Ann", withdrawal(70))])
    if funds != {"Ann": 30, "Bob": 50, "Cid": 7}:
        raise Wrong(
            "between your read and your write, Ann spent 70 of her 100, so she cannot give 40. "
            f"Afterward the accounts hold {funds}: your decision must be based on the accounts as "
            "they are when you write."
        )


a_transfer = Exercise(
    judge=_judge_transfer,
    right="both accounts change or neither account does, whatever others write, even after a kill.",
    hints=[
        "you need transact, with a function of two accounts.",
        "accounts.transact([giver, taker], decide), where decide(a, b) withdraws and deposits.",
    ],
    answer="""
        def transfer(accounts, giver, taker, amount):
            def decide(a, b):
                a.withdraw(amount)
                b.deposit(amount)

            accounts.transact([giver, taker], decide)
    """,
    explanation=(
        "transact loads both accounts, calls your function, and commits both. withdraw enforces "
        "the rule, and the commit makes sure that no other writer gets in between."
    ),
    mistakes=[
        """
        def transfer(accounts, giver, taker, amount):
            accounts.retry(giver, lambda account: account.withdraw(amount))
            accounts.retry(taker, lambda account: account.deposit(amount))
        """,
        """
        def transfer(accounts, giver, taker, amount):
            def decide(a, b):
                a.deposit(amount)
                b.withdraw(amount)

            accounts.transact([giver, taker], decide)
        """,
        """
        def transfer(accounts, giver, taker, amount):
            def decide(john, jane):
                john.withdraw(40)
                jane.deposit(40)

            accounts.transact([giver, taker], decide)
        """,
        """
        def transfer(accounts, giver, taker, amount):
            def decide(a, b):
                a.withdraw(amount)
                b.deposit(amount)

            try:
                accounts.transact([giver, taker], decide)
            except Exception:
                return False
        """,
        """
        def transfer(accounts, giver, taker, amount):
            def decide(a, b):
                a.withdraw(amount)
                b.deposit(amount)

            accounts.transact([giver, taker], decide, tries=1)
        """,
        """
        from eventlab import Event, Write


        def transfer(accounts, giver, taker, amount):
            store = accounts.store
            store.commit(
                [
                    Write(giver, [Event("withdraw", {"amount": amount})], store.version(giver)),
                    Write(taker, [Event("deposit", {"amount": amount})], store.version(taker)),
                ]
            )
        """,
    ],
)


# -------------------------------------------------------- exercise 2: one doctor must stay on call


class Doctor(Aggregate):
    """A doctor, who is on call or not."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.on_call = False

    def leave(self) -> None:
        """Go off call; whether that is allowed is not checked here."""
        self.record("left")

    def apply(self, event: Event | Recorded) -> None:
        """Change who is on call."""
        self.on_call = event.type == "came"


CAME = Event("came")
LEFT = Event("left")
STAFF = {"Ann": [CAME], "Bob": [CAME], "Cid": [CAME, LEFT], "Dee": [CAME, LEFT]}


def _went_home(
    go_home: Callable[..., object],
    name: str,
    team: list[str],
    *,
    rivals: Sequence[tuple[str, Event]] = (),
) -> tuple[list[str], bool]:
    """Return which doctors are on call afterward, and whether the request was rejected."""
    with contested(STAFF) as store:
        store.rivals = list(rivals)
        given = list(team)
        rejected = False
        try:
            go_home(Repository(store, Doctor), name, given)
        except CommandRejected:
            rejected = True
        except VersionConflict as conflict:
            raise Wrong(
                "another doctor was faster, and you stopped: after a conflict, decide again."
            ) from conflict
        except InvalidArgument as error:
            raise Wrong(f"{error}. {name!r} is on the team, too.") from error
        store.rivals = []
        if given != team:
            raise Wrong(
                f"you changed the caller's list from {team} to {given}: make a new list instead."
            )
        staff = Repository(store, Doctor)
        return [id for id in store.ids() if staff.load(id).on_call], rejected


def _judge_go_home(go_home: Callable[..., object]) -> None:
    on_call, rejected = _went_home(go_home, "Ann", ["Ann", "Bob"])
    if rejected or on_call != ["Bob"]:
        raise Wrong(
            f"Ann and Bob are on call, and Ann asks to go home. On call afterward: {on_call}"
            + (", because you rejected her request." if rejected else ".")
        )
    on_call, rejected = _went_home(go_home, "Ann", ["Cid", "Ann"])
    if on_call != ["Ann", "Bob"]:
        raise Wrong(
            "in the team of Cid and Ann, only Ann is on call, but your code let her go home. Only "
            "the *other* doctors count."
        )
    if not rejected:
        raise Wrong(
            "in the team of Cid and Ann, only Ann is on call. She has to stay, but your code does "
            "not tell her: raise CommandRejected."
        )
    on_call, rejected = _went_home(go_home, "Bob", ["Cid", "Dee", "Bob", "Ann"])
    if on_call != ["Ann"]:
        raise Wrong(
            "the team is Cid, Dee, Bob and Ann. Bob and Ann are on call, so Bob may go home. "
            f"On call afterward: {on_call}. Look at all the other doctors."
        )
    on_call, rejected = _went_home(go_home, "Ann", ["Ann", "Bob"], rivals=[("Bob", LEFT)])
    if not on_call:
        raise Wrong(
            "Bob left between your read and your write, and now nobody is on call: write "
            "skew. An aggregate that your decision only reads must be checked, too. Loading that "
            "aggregate is not enough: name it in transact."
        )
    if not rejected:
        raise Wrong("Bob left in the meantime, so Ann must stay. Tell her: raise CommandRejected.")
    on_call, rejected = _went_home(go_home, "Ann", ["Ann", "Bob", "Cid"], rivals=[("Cid", CAME)])
    if on_call != ["Bob", "Cid"] or rejected:
        raise Wrong(
            "Cid went on call between your read and your write. That is a conflict, but Ann may "
            f"still go home. On call afterward: {on_call}. After a conflict, decide again."
        )
    on_call, rejected = _went_home(go_home, "Ann", ["Ann", "Bob", "Cid"], rivals=[("Dee", CAME)])
    if on_call != ["Bob", "Dee"] or rejected:
        raise Wrong("Dee, who is not on the team, went on call: that is no reason for Ann to stay.")


somebody_stays = Exercise(
    judge=_judge_go_home,
    right="the doctors that you name but do not change are guards. Nobody can leave unnoticed.",
    hints=[
        "transact takes any number of ids. Your function gets a doctor for each id, in the same "
        "order.",
        "put the name first: [name, *others]. Then write decide(me, *others).",
        "what decide must check: any(other.on_call for other in others).",
    ],
    answer="""
        from eventlab import CommandRejected


        def go_home(doctors, name, team):
            def decide(me, *others):
                if not any(other.on_call for other in others):
                    raise CommandRejected(f"{me.id} is the last one on call")
                me.leave()

            doctors.transact([name, *(each for each in team if each != name)], decide)
    """,
    explanation=(
        "Only one doctor is written, and the whole team is checked. With retry, the other doctors "
        "would have been read, but not checked."
    ),
    mistakes=[
        """
        from eventlab import CommandRejected


        def go_home(doctors, name, team):
            def decide(me):
                others = [doctors.load(each) for each in team if each != name]
                if not any(other.on_call for other in others):
                    raise CommandRejected("the last one")
                me.leave()

            doctors.retry(name, decide)
        """,
        """
        from eventlab import CommandRejected


        def go_home(doctors, name, team):
            def decide(*everybody):
                if not any(doctor.on_call for doctor in everybody):
                    raise CommandRejected("the last one")
                [me] = [doctor for doctor in everybody if doctor.id == name]
                me.leave()

            doctors.transact(team, decide)
        """,
        """
        def go_home(doctors, name, team):
            def decide(me, *others):
                if any(other.on_call for other in others):
                    me.leave()

            doctors.transact([name, *(each for each in team if each != name)], decide)
        """,
        """
        from eventlab import CommandRejected


        def go_home(doctors, name, team):
            def decide(me, other, *_):
                if not other.on_call:
                    raise CommandRejected("the last one")
                me.leave()

            doctors.transact([name, *(each for each in team if each != name)], decide)
        """,
        """
        from eventlab import CommandRejected


        def go_home(doctors, name, team):
            def decide(me, *others):
                if not any(other.on_call for other in others):
                    raise CommandRejected("the last one")
                me.leave()

            team.remove(name)
            doctors.transact([name, *team], decide)
        """,
        """
        from eventlab import CommandRejected


        def go_home(doctors, name, team):
            def decide(me, *others):
                if not any(other.on_call for other in others):
                    raise CommandRejected("the last one")
                me.leave()

            doctors.transact([name, *team], decide)
        """,
    ],
)


# ----------------------------------------------------------------- exercise 3: a new nickname


def nickname(name: str, *by: str) -> dict[str, list[Event]]:
    """Return the log of a nickname that these customers have had, one after another."""
    events: list[Event] = []
    for customer in by:
        events += [Event("released")] * bool(events) + [Event("reserved", {"by": customer})]
    return {f"nickname/{name}": events}


def customer(number: int, name: str) -> dict[str, list[Event]]:
    return {f"customer-{number}": [Event("registered", {"nickname": name})]}


PEOPLE = {
    **customer(1, "jo"),
    **nickname("jo", "customer-1"),
    **customer(2, "max"),
    **nickname("max", "customer-2"),
    **{"nickname/free": [*nickname("free", "customer-2")["nickname/free"], Event("released")]},
    **nickname("again", "customer-1", "customer-2"),
}


def _renamed(
    rename: Callable[..., object],
    new: str,
    *,
    rivals: Sequence[tuple[str, Event]] = (),
    early: tuple[str, Event] | None = None,
    lives: int = ENOUGH,
) -> tuple[object, dict[str, list[tuple[str, dict[str, Any]]]]]:
    """Rename customer-1 from jo; return the result, and the new events of each aggregate."""
    with contested(PEOPLE) as store:
        store.rivals = list(rivals)
        store.early = early
        store.lives = lives
        result: object = None
        try:
            result = rename(store, "customer-1", "jo", new)
        except Killed:
            if lives == ENOUGH:
                raise Wrong(
                    "your code writes again and again: after a conflict, read the new name again."
                ) from None
        except VersionConflict as conflict:
            raise Wrong(
                f"with the new name {new!r}, your code raised VersionConflict ({conflict}). Return "
                "False if the name is taken; otherwise read again, and decide again."
            ) from conflict
        added = {}
        for id in store.ids():
            events = store.read(id, after=len(PEOPLE.get(id, [])))
            if events:
                added[id] = [(event.type, event.data) for event in events]
        return result, added


def _wanted(new: str) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    return {
        "customer-1": [("renamed", {"nickname": new})],
        "nickname/jo": [("released", {})],
        f"nickname/{new}": [("reserved", {"by": "customer-1"})],
    }


def _judge_rename(rename: Callable[..., object]) -> None:
    result, added = _renamed(rename, "joe")
    if added != _wanted("joe"):
        raise Wrong(f"jo becomes joe. You added {added}; expected {_wanted('joe')}.")
    if result is not True:
        raise Wrong(f"jo has become joe, but you returned {result!r}: return True.")
    result, added = _renamed(rename, "max")
    if added or result is not False:
        raise Wrong(
            f"'max' belongs to customer-2. You returned {result!r} and added {added or 'nothing'}: "
            "return False, and add nothing."
        )
    _, added = _renamed(rename, "joe", lives=1)
    if added not in ({}, _wanted("joe")):
        raise Wrong(
            f"your process was killed after its first write, and left {added} in the store: write "
            "all three events in one commit."
        )
    result, added = _renamed(rename, "free")
    if result is not True or added != _wanted("free"):
        raise Wrong(
            "'free' was reserved once, and then released. The name has two events, so it is not "
            f"NEW, but it is free. You returned {result!r}. What does its last event say?"
        )
    result, added = _renamed(rename, "again")
    if result is not False or added:
        raise Wrong(
            "'again' was released once, and then reserved by customer-2: it is taken. Only its "
            "last event counts."
        )
    _judge_races(rename)


def _judge_races(rename: Callable[..., object]) -> None:
    theirs = Event("reserved", {"by": "customer-3"})
    result, added = _renamed(rename, "joe", rivals=[("nickname/joe", theirs)])
    if result is not False or "customer-1" in added:
        raise Wrong(
            "customer-3 was faster and reserved 'joe' before you wrote: return False, and write "
            "nothing."
        )
    result, added = _renamed(rename, "free", early=("nickname/free", theirs))
    if len(added["nickname/free"]) > 1:
        raise Wrong(
            "customer-3 reserved 'free' after you had read its events and before you asked for its "
            "version, and now two customers have the name. The version to expect is the number of "
            "events that you read."
        )
    moved = Event("moved", {"to": "Rome"})
    result, added = _renamed(rename, "joe", rivals=[("customer-1", moved)])
    if result is not True or added.get("customer-1") != [
        ("moved", {"to": "Rome"}),
        ("renamed", {"nickname": "joe"}),
    ]:
        raise Wrong(
            "between your read and your write, the customer moved. That is a conflict, but 'joe' "
            f"is still free: read again, and write again. You returned {result!r}."
        )


a_new_nickname = Exercise(
    judge=_judge_rename,
    right="a name has a history, and its last event says whether it is free.",
    hints=[
        'read the events of the new name. The name is taken if the last event is "reserved".',
        "make one commit with three writes. For the customer and for the old name, expect "
        "people.version(id).",
        "after a VersionConflict, start over and read again: a while loop with try and except.",
    ],
    answer="""
        from eventlab import Event, VersionConflict, Write


        def rename(people, customer, old, new):
            old, name = f"nickname/{old}", f"nickname/{new}"
            while True:
                events = people.read(name)
                if events and events[-1].type == "reserved":
                    return False
                renamed = Event("renamed", {"nickname": new})
                reserved = Event("reserved", {"by": customer})
                try:
                    people.commit(
                        [
                            Write(customer, [renamed], expected=people.version(customer)),
                            Write(old, [Event("released")], expected=people.version(old)),
                            Write(name, [reserved], expected=len(events)),
                        ]
                    )
                except VersionConflict:
                    continue
                return True
    """,
    explanation=(
        "For the new name, expect the version on which your decision is based. The customer and "
        "the old name need no check of their own: their newest version will do."
    ),
    mistakes=[
        """
        from eventlab import NEW, Event, VersionConflict, Write


        def rename(people, customer, old, new):
            name = f"nickname/{old}"
            try:
                people.commit(
                    [
                        Write(
                            customer,
                            [Event("renamed", {"nickname": new})],
                            people.version(customer),
                        ),
                        Write(name, [Event("released")], people.version(name)),
                        Write(f"nickname/{new}", [Event("reserved", {"by": customer})], NEW),
                    ]
                )
            except VersionConflict:
                return False
            return True
        """,
        """
        from eventlab import ANY, Event


        def rename(people, customer, old, new):
            events = people.read(f"nickname/{new}")
            if events and events[-1].type == "reserved":
                return False
            reserved = Event("reserved", {"by": customer})
            people.append(f"nickname/{new}", [reserved], expected=len(events))
            people.append(f"nickname/{old}", [Event("released")], expected=ANY)
            people.append(customer, [Event("renamed", {"nickname": new})], expected=ANY)
            return True
        """,
        """
        from eventlab import Event, Write


        def rename(people, customer, old, new):
            events = people.read(f"nickname/{new}")
            if events and events[-1].type == "reserved":
                return False
            old = f"nickname/{old}"
            people.commit(
                [
                    Write(
                        customer, [Event("renamed", {"nickname": new})], people.version(customer)
                    ),
                    Write(old, [Event("released")], people.version(old)),
                    Write(f"nickname/{new}", [Event("reserved", {"by": customer})], len(events)),
                ]
            )
            return True
        """,
        """
        from eventlab import Event, VersionConflict, Write


        def rename(people, customer, old, new):
            old, name = f"nickname/{old}", f"nickname/{new}"
            while True:
                events = people.read(name)
                if events and events[-1].type == "reserved":
                    return False
                writes = [
                    (customer, Event("renamed", {"nickname": new})),
                    (old, Event("released")),
                    (name, Event("reserved", {"by": customer})),
                ]
                try:
                    people.commit([Write(id, [e], people.version(id)) for id, e in writes])
                    return True
                except VersionConflict:
                    pass
        """,
        """
        from eventlab import Event, VersionConflict, Write


        def rename(people, customer, old, new):
            old, name = f"nickname/{old}", f"nickname/{new}"
            events = people.read(name)
            if any(event.type == "released" for event in events) or not events:
                writes = [
                    (customer, Event("renamed", {"nickname": new}), people.version(customer)),
                    (old, Event("released"), people.version(old)),
                    (name, Event("reserved", {"by": customer}), len(events)),
                ]
                try:
                    people.commit([Write(id, [e], version) for id, e, version in writes])
                    return True
                except VersionConflict:
                    pass
            return False
        """,
        """
        from eventlab import Event, VersionConflict, Write


        def rename(people, customer, old, new):
            old, name = f"nickname/{old}", f"nickname/{new}"
            events = people.read(name)
            if events and events[-1].type == "reserved":
                return False
            writes = [
                (customer, Event("renamed", {"nickname": new}), people.version(customer)),
                (old, Event("released"), people.version(old)),
                (name, Event("reserved", {"by": customer}), len(events)),
            ]
            try:
                people.commit([Write(id, [e], version) for id, e, version in writes])
                return True
            except VersionConflict:
                return False
        """,
    ],
)


# ------------------------------------------------------------ exercise 4: a process manager

FOLLOWING = ("withdrawn", "rejected", "arrived", "bounced", "refunded")
MOST_EVENTS = 8  # of one payment; four are needed
MOST_LIVES = 20  # of the process manager, for one payment


class LostAnswer(ConnectionError):
    """The command was executed, and its response was lost."""


class KillingBank(AccountService):
    """A bank whose client is killed after a number of commands, or whose responses are lost."""

    def __init__(self, store: EventStore, killer: Killer) -> None:
        super().__init__(store)
        self.killer = killer
        self.loses = False

    def deposit(self, id: str, amount: int, **options: Any) -> Recorded:
        recorded = super().deposit(id, amount, **options)
        if self.loses:
            self.loses = False
            raise LostAnswer("no answer")
        self.killer.crash()
        return recorded

    def withdraw(self, id: str, amount: int, **options: Any) -> Recorded:
        recorded = super().withdraw(id, amount, **options)
        self.killer.crash()
        return recorded


@dataclass
class Killer:
    """Kills a process at the ``at``-th call of ``crash``; never if ``at`` is 0."""

    at: int

    def crash(self) -> None:
        """Kill the process if this is the chosen call."""
        self.at -= 1
        if self.at == 0:
            raise Killed


@dataclass
class World:
    """Two banks and the payments between them."""

    home: EventStore
    abroad: EventStore
    payments: EventStore

    def live(self, next_step: Callable[..., object], killer: Killer, *, loses: bool) -> None:
        """Run the process manager until nothing is left to do, or until it is killed."""
        home = KillingBank(self.home, killer)
        abroad = KillingBank(self.abroad, killer)
        abroad.loses = loses
        work = Subscription(self.payments, "manager", consumer="manager-1")
        while events := work.receive(1):
            [event] = events
            following = _following(next_step, event, home, abroad)
            killer.crash()
            if following is not None:
                self.payments.append(
                    event.id,
                    [Event(following, event.data)],
                    expected=event.version,
                    token=f"after {event.version}",
                )
            killer.crash()
            work.ack([event])

    def funds(self) -> tuple[int, int]:
        """Return what the giver and the taker have."""
        banks = AccountService(self.home), AccountService(self.abroad)
        return banks[0].fetch("John").funds, banks[1].fetch("Jane").funds


def _following(
    next_step: Callable[..., object], event: Recorded, home: KillingBank, abroad: KillingBank
) -> str | None:
    if event.version > MOST_EVENTS:
        raise Wrong(f"the payment does not end: its event {event.version} is {event.type!r}.")
    try:
        following = next_step(event, home, abroad)
    except CommandRejected as error:
        raise Wrong(
            f"a bank rejected a command ({error}), and your manager stopped at {event.type!r}: "
            "the event would be delivered again, and would stop your manager again, forever. A "
            "rejection needs a next event, too."
        ) from error
    except IdempotencyKeyReused as error:
        raise Wrong(
            f"{error}. The withdrawal and the refund are two requests to one account: the key "
            "must say which step it is for."
        ) from error
    if following is not None and following not in FOLLOWING:
        raise Wrong(
            f"after {event.type!r}, you returned {following!r}; expected one of "
            f"{', '.join(map(repr, FOLLOWING))}, or None after the last event."
        )
    return following


def _paid(
    next_step: Callable[..., object],
    *requests: tuple[str, int],
    kill_at: int = 0,
    loses: bool = False,
) -> tuple[list[list[str]], tuple[int, int], bool]:
    """Pay from John (100) to others; Jane has 50. Kill the manager once, and start it again.

    Returns the events of each payment, the funds of John and Jane, and whether it was killed.
    """
    empty: dict[str, list[Event]] = {}
    with (
        contested({"John": account(100)}) as home,
        contested({"Jane": account(50)}) as abroad,
        contested(empty) as payments,
    ):
        names = [f"payment-{number}" for number in range(1, len(requests) + 1)]
        for name, (to, amount) in zip(names, requests, strict=True):
            data = {"from": "John", "to": to, "amount": amount}
            payments.append(name, [Event("requested", data)], expected=NEW)
        world = World(home, abroad, payments)
        was_killed = False
        for life in range(MOST_LIVES):
            try:
                world.live(next_step, Killer(0 if life else kill_at), loses=loses and not life)
            except Killed:
                was_killed = True
            except LostAnswer:
                continue
            else:
                break
        logs = [[event.type for event in payments.read(name)] for name in names]
        return logs, world.funds(), was_killed


CASES: Sequence[tuple[list[tuple[str, int]], list[str], tuple[int, int], str]] = (
    ([("Jane", 40)], ["withdrawn", "arrived"], (60, 90), "John (100) pays 40 to Jane (50)"),
    ([("Jane", 400)], ["rejected"], (100, 50), "John (100) pays 400"),
    (
        [("Janet", 40)],
        ["withdrawn", "bounced", "refunded"],
        (100, 50),
        "John (100) pays 40 to Janet, who has no account",
    ),
    ([("Jane", 7), ("Jane", 7)], ["withdrawn", "arrived"], (86, 64), "John pays Jane 7, twice"),
)


def _judge_manager(next_step: Callable[..., object]) -> None:
    for requests, events, funds, what in CASES:
        logs, found, _ = _paid(next_step, *requests)
        if found != funds:
            raise Wrong(
                f"{what}: the events of payment-1 are {logs[0]}, John has {found[0]}, and Jane has "
                f"{found[1]}; expected {funds[0]} for John and {funds[1]} for Jane."
            )
        expected = ["requested", *events]
        if wrong := [log for log in logs if log != expected]:
            raise Wrong(f"{what}: the payment's events are {wrong[0]}; expected {expected}.")
    for requests, _, funds, what in CASES:
        kill_at, was_killed = 1, True
        while was_killed:
            logs, found, was_killed = _paid(next_step, *requests, kill_at=kill_at)
            if found != funds:
                raise Wrong(
                    f"{what}. Killed at point {kill_at} and restarted, your manager left John with "
                    f"{found[0]} and Jane with {found[1]}; expected {funds[0]} and {funds[1]}. "
                    "Which command has no key, or a new key each time?"
                )
            kill_at += 1
    logs, found, _ = _paid(next_step, ("Jane", 40), loses=True)
    if found != (60, 90):
        raise Wrong(
            "the other bank made the deposit, but its response was lost (a ConnectionError). Your "
            f"manager took that for a rejection: the payment's events are {logs[0]}, John has "
            f"{found[0]}, and Jane has {found[1]}. Only CommandRejected is a rejection. Do not "
            "catch any other error, so that the step is repeated."
        )


a_process_manager = Exercise(
    judge=_judge_manager,
    right="your manager was killed at every point, but not a cent was lost or created.",
    hints=[
        "begin with the two steps from the page. Wrap each command in try / except "
        "CommandRejected.",
        "the refund is home.deposit(payment['from'], ...), with a key, like every command.",
        'the key from the page, f"{event.id} {event.type}", works for all three commands.',
    ],
    answer="""
        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            payment, key = event.data, f"{event.id} {event.type}"
            match event.type:
                case "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "rejected"
                    return "withdrawn"
                case "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "bounced"
                    return "arrived"
                case "bounced":
                    home.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
    """,
    explanation=(
        "Each event leads to one step, each step is one command with its own key, and each "
        "outcome is an event. A repeat of a step gets the first outcome, even if that was a "
        "rejection."
    ),
    mistakes=[
        """
        import uuid

        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            payment, key = event.data, uuid.uuid4().hex
            match event.type:
                case "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "rejected"
                    return "withdrawn"
                case "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "bounced"
                    return "arrived"
                case "bounced":
                    home.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
        """,
        """
        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            payment, key = event.data, event.id
            match event.type:
                case "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "rejected"
                    return "withdrawn"
                case "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "bounced"
                    return "arrived"
                case "bounced":
                    home.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
        """,
        """
        def next_step(event, home, abroad):
            payment, key = event.data, f"{event.id} {event.type}"
            match event.type:
                case "requested":
                    home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    return "withdrawn"
                case "withdrawn":
                    abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    return "arrived"
        """,
        """
        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            payment, key = event.data, f"{event.id} {event.type}"
            match event.type:
                case "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "rejected"
                    return "withdrawn"
                case "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "bounced"
                    return "arrived"
                case "bounced":
                    home.deposit(payment["from"], payment["amount"])
                    return "refunded"
        """,
        """
        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            payment, key = event.data, f"{event.id} {event.type}"
            match event.type:
                case "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "rejected"
                    return "withdrawn"
                case "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "bounced"
                    return "arrived"
        """,
        """
        def next_step(event, home, abroad):
            payment, key = event.data, f"{event.id} {event.type}"
            try:
                match event.type:
                    case "requested":
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                        return "withdrawn"
                    case "withdrawn":
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                        return "arrived"
                    case "bounced":
                        home.deposit(payment["from"], payment["amount"], idempotency_key=key)
                        return "refunded"
            except Exception:
                return "rejected" if event.type == "requested" else "bounced"
        """,
        """
        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            payment, key = event.data, f"{event.id} {event.type}"
            match event.type:
                case "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "bounced"
                    return "withdrawn"
                case "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "bounced"
                    return "arrived"
                case "bounced":
                    home.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
        """,
        """
        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            payment, key = event.data, f"{event.type} of {event.data['amount']}"
            match event.type:
                case "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "rejected"
                    return "withdrawn"
                case "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "bounced"
                    return "arrived"
                case "bounced":
                    home.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
        """,
    ],
    seconds=40,  # each payment is repeated with a kill at every point
)


# -------------------------------------------------------- exercise 5: where is the boundary?

TOOLS = ("one", "commit", "process", "view")
BOUNDARIES = {"a": "one", "b": "commit", "c": "process", "d": "view", "e": "one", "f": "commit"}
CONSEQUENCES = {
    ("a", "commit"): (
        "do you want each line to be an aggregate of its own? Then each new line needs all the "
        "others as guards, and a line has no meaning without its order."
    ),
    ("a", "process"): "for a while, the order would be over the limit.",
    ("a", "view"): "a view is a little behind: two lines added at the same time would both pass.",
    ("b", "one"): (
        "both players in one aggregate, because they may swap some day? Then every player must be "
        "in that aggregate, and all their changes would conflict with each other."
    ),
    ("b", "process"): (
        "a process manager would work, but for a moment one player would have both items. Both "
        "players are in one store, so one commit can do the whole swap."
    ),
    ("b", "view"): "a view shows who has what. It cannot change that.",
    ("c", "one"): "the hotel and the airline do not write into your aggregates.",
    ("c", "commit"): "a commit reaches one category of one store, not the airline's system.",
    ("c", "view"): "if the airline rejects the booking, a program must cancel the hotel. A view "
    "cannot do that.",
    ("d", "one"): "one aggregate for all orders? Every order would conflict with every other.",
    ("d", "commit"): "if each commit also wrote the total, every order would conflict with every "
    "other order.",
    ("d", "process"): "there is no rule to keep and nothing to send. Just count the orders.",
    ("e", "commit"): (
        "the seat alone knows whether it is sold: its own version is enough. More aggregates "
        "would mean more conflicts."
    ),
    ("e", "process"): "two people would have the same seat until one sale is undone.",
    ("e", "view"): "a view is a little behind: the seat could be sold twice in the meantime.",
    ("f", "one"): "a user knows only their own name. Which aggregate knows that a name is unique?",
    ("f", "process"): "two users would have the same name until one of them loses it again.",
    ("f", "view"): "a view is a little behind: two users would find the same name free.",
}


def _judge_boundaries(tools: dict[str, str]) -> None:
    if not isinstance(tools, dict) or set(tools) != set(BOUNDARIES):
        raise Wrong('give a dict with the six letters: {"a": ..., "b": ..., and so on}.')
    for letter, right in BOUNDARIES.items():
        choice = tools[letter]
        if choice not in TOOLS:
            raise Wrong(f'{letter}: {choice!r} is not one of "one", "commit", "process", "view".')
        if choice != right:
            raise Wrong(f"{letter}: {CONSEQUENCES[letter, choice]}")


where_the_boundary_is = Exercise(
    judge=_judge_boundaries,
    right="choose the smallest tool that sees everything the rule needs.",
    hints=[
        "for each rule, ask: what must the decision see? Is all of it in one store?",
        "two rules need 'one', and two need 'commit'; the other two tools are used once each.",
    ],
    answer="""
        tools = {
            "a": "one",
            "b": "commit",
            "c": "process",
            "d": "view",
            "e": "one",
            "f": "commit",
        }
    """,
    explanation=(
        "The rules of an order and of a seat need one aggregate each. A swap and a name need "
        "several aggregates in one store. Another system needs a process manager, and a question "
        "needs a view."
    ),
    mistakes=[
        f"""
        tools = {BOUNDARIES | {letter: choice}}
        """
        for letter, choice in CONSEQUENCES
    ],
)
