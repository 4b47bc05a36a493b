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
            f"{odd[0]!r} is none: NEW, EXISTS and ANY are imported names, a version is a whole number."
        )
    if answer["a"] in (ANY, EXISTS):
        raise Wrong(
            "a: two customers could open the same account, and both would be told that it is theirs."
        )
    if answer["a"] != NEW:
        raise Wrong("a: before it is opened an account has no events. There is a name for that.")
    if answer["b"] in (ANY, EXISTS):
        raise Wrong(
            "b: 'there was enough money' was true at version 7. If it is another version by now, it may be a lie."
        )
    if answer["b"] == 8:
        raise Wrong("b: you expect what you have seen, not what you are about to write.")
    if answer["b"] != 7:
        raise Wrong("b: which version was the decision based on?")
    if answer["c"] != ANY:
        raise Wrong(
            "c: it is so warm, whatever was reported before. Nothing that was stored can make the report wrong."
        )
    if answer["d"] != EXISTS:
        raise Wrong("d: it depends on one thing only: that the account is there.")


what_to_expect = Exercise(
    judge=_judge_expectations,
    right="expect as much as the decision depends on, and no more: every needless expectation is a needless conflict.",
    hints=[
        "ask of each: what did I look at before I decided?",
        "one of each kind.",
    ],
    answer="""
        from eventlab import ANY, EXISTS, NEW

        expectations = {"a": NEW, "b": 7, "c": ANY, "d": EXISTS}
    """,
    explanation="A decision on the state expects its version; a fact from outside expects nothing.",
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


ENOUGH = 50  # tries, where four are needed


class _ForEver(BaseException):
    """Not an Exception: an answer that catches those would go on."""


class _Overtaken(EventStore):
    """A store in which somebody else is faster: in front of an append, as often as there are rivals.

    Or, once, in front of a look at the version: who looks at it after he has read has decided on an older one.
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
    """What the answer returned, and the funds and version that it left, beginning with 100 in the account."""
    with connect() as lab:
        store = _Overtaken(lab.redis, f"exerciseWithdraw-{secrets.token_hex(4)}")
        store.rivals = []
        store.append("a", [Event("create"), Event("deposit", {"amount": 100})], expected=NEW)
        store.rivals, store.early = rivals, early
        try:
            said = withdraw(store, "a", amount)
        except _ForEver:
            raise Wrong(
                "you try again for ever, with a version that stays wrong: read the events again."
            ) from None
        except VersionConflict as error:
            raise Wrong(
                "somebody was faster, and you gave up: after a conflict, begin again."
            ) from error
        except KeyError as error:
            raise Wrong(
                f"not every event has {error}: a 'create' moves no money. Look at the type first."
            ) from error
        finally:
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            events = store.read("a")
            store.drop()
        for event in events:
            if event.type not in sign or type(event.data.get("amount", 0)) is not int:
                raise Wrong(
                    f"you stored {event.type!r} with {event.data}; wanted: 'withdraw', its amount a whole number."
                )
        funds = sum(sign[event.type] * event.data.get("amount", 0) for event in events)
        return said, funds, len(events)


def _judge_withdraw(withdraw: Callable[..., bool]) -> None:
    said, funds, events = _played(withdraw, [])
    if (said, funds, events) != (True, 20, 3):
        raise Wrong(
            f"nobody else is there, 100 are: 80 of them go, and True comes back. You left {funds}, and said {said}."
        )
    said, funds, events = _played(withdraw, [], amount=100)
    if (said, funds) != (True, 0):
        raise Wrong(
            f"100 are there, and 100 can be withdrawn: True, and nothing is left. You left {funds}, said {said}."
        )
    said, funds, events = _played(withdraw, [Event("withdraw", {"amount": 50})])
    if funds < 0:
        raise Wrong(
            f"somebody took 50 while you were deciding, and you took 80 of the other 50: the account is at {funds}. "
            "The new version is not enough: the decision must be taken again, on what is there now."
        )
    if said is not False or events != 3:
        raise Wrong(
            "somebody took 50 while you were deciding; with 50 left, the withdrawal of 80 must be refused: False."
        )
    said, funds, events = _played(withdraw, [], early=Event("withdraw", {"amount": 50}))
    if funds < 0:
        raise Wrong(
            f"somebody took 50 between your reading and your look at the version: the account is at {funds}. "
            "Expect the version that you have read, not one that you ask for later."
        )
    said, funds, events = _played(withdraw, [Event("deposit", {"amount": 1})] * 3)
    if (said, funds) != (True, 23):
        raise Wrong(
            "three deposits came in between, one after the other: you may be overtaken more than once."
        )


a_withdrawal_that_holds = Exercise(
    judge=_judge_withdraw,
    right="read, decide, append, and after a conflict all three again. Repository.retry does it, with a limit.",
    hints=[
        "a loop around everything: reading, the question of enough money, and the append.",
        "the version to expect is that of the last event that you have read.",
        "after a VersionConflict the loop begins anew; conflict.actual is not needed.",
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
    explanation="The decision is inside the loop. What was true at version 2 has to be asked again at version 3.",
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
                    store.append(id, [Event("withdraw", {"amount": amount})], expected=store.version(id))
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
                    return bool(store.append(id, [Event("withdraw", {"amount": amount})], expected=expected))
                except VersionConflict:
                    pass
        """,
    ],
)
