"""The exercises of 02_version_conflicts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from eventlab import ANY, EXISTS, NEW, Event, EventStore, Recorded, VersionConflict, connect
from eventlab.lessons.exercise import Exercise, Wrong


def _judge_expectations(answer: dict[str, Any]) -> None:
    if not isinstance(answer, dict) or set(answer) != set("abcd"):
        raise Wrong('give a dict with the four letters: {"a": ..., "b": ..., "c": ..., "d": ...}.')
    if odd := [value for value in answer.values() if isinstance(value, str | bool | float)]:
        raise Wrong(
            f"{odd[0]!r} is not an expectation: import NEW, EXISTS or ANY, or use a whole number."
        )
    if answer["a"] in (ANY, EXISTS):
        raise Wrong(
            "a: two customers could open the same account, and both would think it is theirs."
        )
    if answer["a"] != NEW:
        raise Wrong("a: a new account has no events yet. There is a name for that.")
    if answer["b"] in (ANY, EXISTS):
        raise Wrong(
            "b: 'there is enough money' was true at version 7. At a later version it may be false."
        )
    if answer["b"] == 8:
        raise Wrong("b: expect the version you read, not the one you are about to write.")
    if answer["b"] != 7:
        raise Wrong("b: which version was the decision based on?")
    if answer["c"] != ANY:
        raise Wrong(
            "c: the temperature does not depend on earlier reports. No stored event can make it "
            "wrong."
        )
    if answer["d"] != EXISTS:
        raise Wrong("d: it depends on one thing only: that the account exists.")


what_to_expect = Exercise(
    judge=_judge_expectations,
    right=(
        "expect what the decision depends on, and no more: a needless expectation is a needless "
        "conflict."
    ),
    hints=[
        "for each, ask: what did I read before I decided?",
        "each of the four is different.",
    ],
    answer="""
        from eventlab import ANY, EXISTS, NEW

        expectations = {"a": NEW, "b": 7, "c": ANY, "d": EXISTS}
    """,
    explanation=(
        "A decision based on the state expects its version; an outside fact expects nothing."
    ),
    mistakes=[
        """
        from eventlab import ANY, EXISTS

        expectations = {"a": ANY, "b": 7, "c": ANY, "d": EXISTS}
        """,
        """
        from eventlab import ANY, EXISTS, NEW

        expectations = {"a": NEW, "b": EXISTS, "c": ANY, "d": EXISTS}
        """,
        """
        from eventlab import ANY, EXISTS, NEW

        expectations = {"a": NEW, "b": 8, "c": ANY, "d": EXISTS}
        """,
        """
        from eventlab import EXISTS, NEW

        expectations = {"a": NEW, "b": 7, "c": EXISTS, "d": EXISTS}
        """,
        """
        from eventlab import ANY, NEW

        expectations = {"a": NEW, "b": 7, "c": ANY, "d": ANY}
        """,
        """
        expectations = {"a": "NEW", "b": 7, "c": "ANY", "d": "EXISTS"}
        """,
    ],
)


ENOUGH = 50  # attempts; four are needed


class _ForEver(BaseException):
    """Not an Exception, because an answer that catches those would continue."""


class _Overtaken(EventStore):
    """A store in which another writer is faster: once before each append, while rivals are left.

    ``early`` is appended before the next call of ``version``: code that asks for the version after
    it has read the events has decided on an older state.
    """

    rivals: list[Event]
    early: Event | None = None
    tries = 0

    def version(self, id: str) -> int:
        if rival := self.early:
            self.early = None
            super().append(id, [rival], expected=super().version(id))
        return super().version(id)

    def append(self, id: str, events: Any, **options: Any) -> list[Recorded]:
        self.tries += 1
        if self.tries > ENOUGH:
            raise _ForEver
        if self.rivals:
            super().append(id, [self.rivals.pop(0)], expected=super().version(id))
        return super().append(id, events, **options)


def _played(
    withdraw: Callable[..., bool], rivals: list[Event], amount: int = 80, early: Event | None = None
) -> tuple[bool, int, int]:
    """Return the result, and the funds and version it leaves; the account starts at 100."""
    with connect() as lab:
        store = _Overtaken(lab.redis, f"exerciseWithdraw-{secrets.token_hex(4)}")
        store.rivals = []
        store.append("a", [Event("create"), Event("deposit", {"amount": 100})], expected=NEW)
        store.rivals, store.early = rivals, early
        try:
            returned = withdraw(store, "a", amount)
        except _ForEver:
            raise Wrong("you retry forever with a stale version: read the events again.") from None
        except VersionConflict as error:
            raise Wrong(
                "another writer was faster, and you stopped: after a conflict, start over."
            ) from error
        except KeyError as error:
            raise Wrong(
                f"not every event has {error}: a 'create' moves no money. Check the type first."
            ) from error
        finally:
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            events = store.read("a")
            store.drop()
        for event in events:
            if event.type not in sign or type(event.data.get("amount", 0)) is not int:
                raise Wrong(
                    f"you stored {event.type!r} with {event.data}; expected 'withdraw' with a "
                    "whole amount."
                )
        funds = sum(sign[event.type] * event.data.get("amount", 0) for event in events)
        return returned, funds, len(events)


def _judge_withdraw(withdraw: Callable[..., bool]) -> None:
    returned, funds, events = _played(withdraw, [])
    if (returned, funds, events) != (True, 20, 3):
        raise Wrong(
            f"no other writer, 100 in the account: 80 can be withdrawn. You left {funds} and "
            f"returned {returned}."
        )
    returned, funds, events = _played(withdraw, [], amount=100)
    if (returned, funds) != (True, 0):
        raise Wrong(
            f"100 in the account: 100 can be withdrawn. You left {funds} and returned {returned}."
        )
    returned, funds, events = _played(withdraw, [Event("withdraw", {"amount": 50})])
    if funds < 0:
        raise Wrong(
            "another writer withdrew 50 meanwhile, and you took 80 of the remaining 50: the "
            f"balance is {funds}. "
            "The new version is not enough: decide again, based on the current events."
        )
    if returned is not False or events != 3:
        raise Wrong(
            "another writer withdrew 50 meanwhile; with 50 left, reject the withdrawal of 80: "
            "return False."
        )
    returned, funds, events = _played(withdraw, [], early=Event("withdraw", {"amount": 50}))
    if funds < 0:
        raise Wrong(
            "another writer withdrew 50 after your read and before you asked for the version: "
            f"balance {funds}. "
            "Expect the version you read, not one you ask for later."
        )
    returned, funds, events = _played(withdraw, [Event("deposit", {"amount": 1})])
    if (returned, funds) != (True, 21):
        raise Wrong(
            "another writer deposited 1 meanwhile, and you gave up at the first conflict. A "
            "conflict does not mean that there is too little money: read and decide again."
        )
    returned, funds, events = _played(withdraw, [Event("deposit", {"amount": 1})] * 3)
    if (returned, funds) != (True, 23):
        raise Wrong(
            "three deposits came first, one after the other: more than one conflict can happen."
        )


a_withdrawal_that_holds = Exercise(
    judge=_judge_withdraw,
    right=(
        "read, decide, append, and after a conflict repeat all three. Repository.retry does it, "
        "with a limit."
    ),
    hints=[
        "put a loop around everything: the read, the check of the funds, and the append.",
        "expect the version of the last event you read.",
        "after a VersionConflict the loop starts over; you do not need conflict.actual.",
    ],
    answer="""
        from eventlab import Event, VersionConflict


        def withdraw(store, id, amount):
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            while True:
                events = store.read(id)
                funds = sum(sign[event.type] * event.data.get("amount", 0) for event in events)
                if funds < amount:
                    return False
                try:
                    store.append(id, [Event("withdraw", {"amount": amount})], expected=len(events))
                except VersionConflict:
                    continue
                return True
    """,
    explanation=(
        "The decision is inside the loop. What was true at version 2 must be checked again at "
        "version 3."
    ),
    mistakes=[
        """
        from eventlab import Event, VersionConflict


        def withdraw(store, id, amount):
            expected = store.version(id)
            while True:
                try:
                    store.append(id, [Event("withdraw", {"amount": amount})], expected=expected)
                    return True
                except VersionConflict as conflict:
                    expected = conflict.actual
        """,
        """
        from eventlab import Event


        def withdraw(store, id, amount):
            store.append(id, [Event("withdraw", {"amount": amount})], expected=store.version(id))
            return True
        """,
        """
        from eventlab import Event, VersionConflict


        def withdraw(store, id, amount):
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            for attempt in range(2):
                events = store.read(id)
                if sum(sign[event.type] * event.data.get("amount", 0) for event in events) < amount:
                    return False
                try:
                    store.append(id, [Event("withdraw", {"amount": amount})], expected=len(events))
                    return True
                except VersionConflict:
                    pass
            return False
        """,
        """
        from eventlab import Event, VersionConflict


        def withdraw(store, id, amount):
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            events = store.read(id)
            if sum(sign[event.type] * event.data.get("amount", 0) for event in events) < amount:
                return False
            try:
                store.append(id, [Event("withdraw", {"amount": amount})], expected=len(events))
            except VersionConflict:
                return False
            return True
        """,
        """
        from eventlab import Event


        def withdraw(store, id, amount):
            return False
        """,
        """
        from eventlab import Event


        def withdraw(store, id, amount):
            store.append(id, [Event("withdraw", {"amount": 80})], expected=store.version(id))
            return True
        """,
        """
        from eventlab import Event


        def withdraw(store, id, amount):
            store.append(id, [Event("withdrawn", {"amount": amount})], expected=store.version(id))
            return True
        """,
        """
        from eventlab import Event, VersionConflict


        def withdraw(store, id, amount):
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            while True:
                events = store.read(id)
                if sum(sign[event.type] * event.data.get("amount", 0) for event in events) < amount:
                    return False
                try:
                    withdrawal = Event("withdraw", {"amount": amount})
                    store.append(id, [withdrawal], expected=store.version(id))
                    return True
                except VersionConflict:
                    pass
        """,
        """
        from eventlab import Event


        def withdraw(store, id, amount):
            funds = sum(event.data["amount"] for event in store.read(id))
            store.append(id, [Event("withdraw", {"amount": amount})], expected=store.version(id))
            return funds >= amount
        """,
        """
        from eventlab import Event, VersionConflict


        def withdraw(store, id, amount):
            expected = store.version(id)
            while True:
                try:
                    withdrawal = Event("withdraw", {"amount": amount})
                    return bool(store.append(id, [withdrawal], expected=expected))
                except VersionConflict:
                    pass
        """,
    ],
)
