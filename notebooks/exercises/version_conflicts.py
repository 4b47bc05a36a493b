"""The exercises of 02_version_conflicts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from eventlab import ANY, EXISTS, NEW, Event, EventStore, Recorded, VersionConflict, connect
from eventlab.lessons.choices import choices
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
            "c: the temperature does not depend on earlier reports. No stored event can make a "
            "report wrong."
        )
    if answer["d"] != EXISTS:
        raise Wrong("d: the note depends on one thing only: that the account exists.")


what_to_expect = Exercise(
    judge=_judge_expectations,
    right=(
        "expect what the decision depends on, and no more: a needless expectation causes needless "
        "conflicts."
    ),
    hints=[
        "for each letter, ask: what did I read before I decided?",
        "the four answers are all different.",
    ],
    answer="""
        from eventlab import ANY, EXISTS, NEW

        expectations = {"a": NEW, "b": 7, "c": ANY, "d": EXISTS}
    """,
    explanation=(
        "A decision that is based on the state expects the version of that state. A fact from "
        "outside expects nothing."
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
    """Not an Exception: an answer that catches every Exception would continue."""


class _Overtaken(EventStore):
    """A store in which a rival event is appended before each append, until ``rivals`` is empty.

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
    """Return what ``withdraw`` returned, and the funds and version; the funds start at 100."""
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
                    "whole number as its amount."
                )
        funds = sum(sign[event.type] * event.data.get("amount", 0) for event in events)
        return returned, funds, len(events)


def _judge_withdraw(withdraw: Callable[..., bool]) -> None:
    returned, funds, events = _played(withdraw, [])
    if (returned, funds, events) != (True, 20, 3):
        raise Wrong(
            f"with 100 in the account and no other writer, 80 can be withdrawn. You left {funds} "
            f"and returned {returned}."
        )
    returned, funds, events = _played(withdraw, [], amount=100)
    if (returned, funds) != (True, 0):
        raise Wrong(
            f"with 100 in the account, 100 can be withdrawn. You left {funds} and returned "
            f"{returned}."
        )
    returned, funds, events = _played(withdraw, [Event("withdraw", {"amount": 50})])
    if funds < 0:
        raise Wrong(
            "another writer withdrew 50 meanwhile, and you took 80 of the remaining 50: the "
            f"balance is {funds}. Expecting the new version is not enough: decide again, based on "
            "the current events."
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
            f"the balance is {funds}. Expect the version you read, not one you ask for later."
        )
    returned, funds, events = _played(withdraw, [Event("deposit", {"amount": 1})])
    if (returned, funds) != (True, 21):
        raise Wrong(
            "another writer deposited 1 meanwhile, and you stopped at the first conflict. A "
            "conflict does not mean that there is too little money: read and decide again."
        )
    returned, funds, events = _played(withdraw, [Event("deposit", {"amount": 1})] * 3)
    if (returned, funds) != (True, 23):
        raise Wrong(
            "three deposits came first, one after another: more than one conflict can happen."
        )


a_withdrawal_that_holds = Exercise(
    judge=_judge_withdraw,
    right=(
        "read, decide, append, and after a conflict, repeat all three. Repository.retry does "
        "this, with a limit."
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
        "The decision is inside the loop. A check that passed at version 2 must be repeated at "
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


# ------------------------------------------------------------------------------ an order of steps


def _judge_order(answer: object) -> None:
    if not isinstance(answer, str) or set(answer) - set("AB"):
        raise Wrong(
            'give a string of As and Bs, such as "ABABAB": each letter is the writer who '
            "takes the next step."
        )
    if sorted(answer) != sorted("AAABBB"):
        raise Wrong(
            f"{answer!r} has {answer.count('A')} steps of A and {answer.count('B')} of B. Each "
            "writer takes three: read, decide, append."
        )
    reads = {name: answer.index(name) for name in "AB"}
    appends = {name: answer.rindex(name) for name in "AB"}
    early, late = sorted("AB", key=lambda name: appends[name])
    if reads[late] < appends[early]:
        raise Wrong(
            f"{late} reads before {early} has appended, and still sees 100: both withdraw, and the "
            "balance is -60."
        )


an_order_that_is_right = Exercise(
    judge=_judge_order,
    right="only two of the 20 orders are safe: one writer finishes before the other begins.",
    hints=[
        "when must the second writer read, so that it sees what the first one has stored?",
        "not before the first writer's third step.",
    ],
    answer="""
        order = "AAABBB"
    """,
    explanation=(
        "The second writer reads after the first one's append, so it decides on the current state."
    ),
    mistakes=[
        """
        order = "ABABAB"
        """,
        """
        order = "BBABAA"
        """,
        """
        order = "AABB"
        """,
        """
        order = "AAAA"
        """,
        """
        order = ["A", "A", "A", "B", "B", "B", "A"]
        """,
    ],
)


# ------------------------------------------------------------------------------ to open an account


class _Opened(EventStore):
    """A store in which another request opens the account right before the first append."""

    rival = False

    def append(self, id: str, events: Any, **options: Any) -> list[Recorded]:
        if self.rival:
            self.rival = False
            super().append(id, [Event("opened", {"owner": "Rival"})], expected=NEW)
        return super().append(id, events, **options)


def _opened(open_account: Callable[..., bool], *, rival: bool) -> tuple[list[object], list[Any]]:
    """Return what two calls return, and the types and data of the stored events."""
    with connect() as lab:
        store = _Opened(lab.redis, f"exerciseOpen-{secrets.token_hex(4)}")
        store.rival = rival
        try:
            results = [open_account(store, "a", owner) for owner in ("Ann", "Bob")]
            return results, [(event.type, event.data) for event in store.read("a")]
        except VersionConflict as error:
            raise Wrong(
                "your function raised VersionConflict for an account that exists already. Here, "
                "that is an expected outcome, not a failure: catch it and return False."
            ) from error
        finally:
            store.drop()


def _judge_open(open_account: Callable[..., bool]) -> None:
    results, events = _opened(open_account, rival=False)
    if not events:
        raise Wrong("nothing is stored: append an event `opened` with the owner.")
    if len(events) > 1:
        raise Wrong(
            f"Ann and then Bob opened the same account, and both events are stored: {events}. "
            "What must be true of the id?"
        )
    if events != [("opened", {"owner": "Ann"})]:
        raise Wrong(f"expected one event ('opened', {{'owner': 'Ann'}}), and you stored {events}.")
    if results != [True, False]:
        raise Wrong(f"expected True for Ann's call and False for Bob's; you returned {results}.")
    results, events = _opened(open_account, rival=True)
    if len(events) > 1:
        raise Wrong(
            "another request opened the account after your check and before your append, and now "
            f"the account has {len(events)} owners. Let the append check that the account is new: "
            "there is a value of `expected` for that."
        )
    if results != [False, False]:
        raise Wrong(
            "another request was faster, so Ann's call must return False; you returned "
            f"{results[0]!r}."
        )


open_only_once = Exercise(
    judge=_judge_open,
    right="`expected=NEW` makes an id unique, without a lock and without reading first.",
    hints=[
        "which value of `expected` says that the account must not exist yet?",
        "what does append raise if the account exists? In that case, return False.",
    ],
    answer="""
        from eventlab import NEW, Event, VersionConflict


        def open_account(store, id, owner):
            try:
                store.append(id, [Event("opened", {"owner": owner})], expected=NEW)
            except VersionConflict:
                return False
            return True
    """,
    explanation="The check and the write are one step, so no other request fits in between.",
    mistakes=[
        """
        from eventlab import ANY, Event


        def open_account(store, id, owner):
            if store.version(id):
                return False
            store.append(id, [Event("opened", {"owner": owner})], expected=ANY)
            return True
        """,
        """
        from eventlab import ANY, Event


        def open_account(store, id, owner):
            store.append(id, [Event("opened", {"owner": owner})], expected=ANY)
            return True
        """,
        """
        from eventlab import NEW, Event


        def open_account(store, id, owner):
            store.append(id, [Event("opened", {"owner": owner})], expected=NEW)
            return True
        """,
        """
        from eventlab import NEW, Event, VersionConflict


        def open_account(store, id, owner):
            try:
                store.append(id, [Event("opened", {"owner": owner})], expected=NEW)
            except VersionConflict:
                pass
            return True
        """,
        """
        def open_account(store, id, owner):
            return not store.version(id)
        """,
        """
        from eventlab import NEW, Event, VersionConflict


        def open_account(store, id, owner):
            try:
                store.append(id, [Event("opened", {"owner": "Ann"})], expected=NEW)
            except VersionConflict as conflict:
                return store.read(id)[0].data["owner"] == "Rival"
            return True
        """,
        """
        from eventlab import NEW, Event, VersionConflict


        def open_account(store, id, owner):
            try:
                store.append(id, [Event("create", {"owner": owner})], expected=NEW)
            except VersionConflict:
                return False
            return True
        """,
    ],
)


# -------------------------------------------------------------------------------- a general retry

TRIES = 3


class _Busy(Exception):
    """What a decision raises to reject the command."""


def _retried(
    retry: Callable[..., object], rivals: int, decide: Callable[[list[Recorded]], list[Event]]
) -> tuple[object, list[str], int]:
    """Return what retry returned or raised, the types stored, and how often it appended."""
    result: object
    with connect() as lab:
        store = _Overtaken(lab.redis, f"exerciseRetry-{secrets.token_hex(4)}")
        store.rivals = []
        store.append("a", [Event("create")], expected=NEW)
        store.rivals, store.tries = [Event("rival")] * rivals, 0
        try:
            result = retry(store, "a", decide, TRIES)
        except (VersionConflict, _Busy) as error:
            result = error
        except _ForEver:
            raise Wrong(f"you tried {ENOUGH} times: stop after `tries` attempts.") from None
        finally:
            types = [event.type for event in store.read("a")]
            store.drop()
        return result, types, store.tries


def _judge_retry(retry: Callable[..., object]) -> None:
    seen: list[int] = []

    def note(events: list[Recorded]) -> list[Event]:
        seen.append(len(events))
        return [Event("note", {"seen": len(events)})]

    result, types, _ = _retried(retry, 0, note)
    if isinstance(result, VersionConflict):
        raise Wrong(
            "there is no other writer, and yet you get a conflict: expect the version that you "
            "read."
        )
    if types != ["create", "note"]:
        raise Wrong(
            "without another writer, the events should be create and note, but the log has "
            f"{types}. Append what `decide` returns."
        )
    seen.clear()
    result, types, _ = _retried(retry, 2, note)
    if isinstance(result, VersionConflict):
        raise Wrong("two conflicts are fewer than three tries: try once more before you stop.")
    if seen != [1, 2, 3]:
        raise Wrong(
            "two writers were faster. Call `decide` again each time, with the events as they are "
            "now: first 1, then 2, then 3 events. You called it with these numbers of events: "
            f"{seen}."
        )
    result, types, tries = _retried(retry, 10, note)
    if not isinstance(result, VersionConflict):
        raise Wrong(
            f"another writer is faster every time: after {TRIES} tries, raise the "
            "VersionConflict, so that the caller learns that nothing is stored. You returned "
            f"{result!r}."
        )
    if tries != TRIES:
        raise Wrong(
            f"`tries` is {TRIES}: append {TRIES} times and no more. You appended {tries} times."
        )
    result, types, tries = _retried(retry, 0, lambda _: [])
    if tries or types != ["create"] or isinstance(result, Exception):
        raise Wrong("`decide` returned no event, so there is nothing to append: return at once.")

    def reject(_: list[Recorded]) -> list[Event]:
        raise _Busy

    result, _, _ = _retried(retry, 0, reject)
    if not isinstance(result, _Busy):
        raise Wrong(
            "`decide` raised an error, because it rejects the command. Let the error through; "
            "only a VersionConflict is a reason to try again."
        )


a_general_retry = Exercise(
    judge=_judge_retry,
    right=(
        "this loop is the heart of `Repository.retry`, which also waits for a random time between "
        "its attempts."
    ),
    hints=[
        "a for loop over range(tries): read, decide, append, return.",
        "catch only VersionConflict, and only around the append.",
        "in the last round, let the error through: `if attempt == tries - 1: raise`.",
    ],
    answer="""
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            for attempt in range(tries):
                events = store.read(id)
                decided = decide(events)
                if not decided:
                    return []
                try:
                    return store.append(id, decided, expected=len(events))
                except VersionConflict:
                    if attempt == tries - 1:
                        raise
    """,
    explanation="Everything that depends on the state is inside the loop, and the loop has an end.",
    mistakes=[
        """
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            events = store.read(id)
            decided = decide(events)
            for attempt in range(tries):
                try:
                    return store.append(id, decided, expected=store.version(id))
                except VersionConflict:
                    if attempt == tries - 1:
                        raise
        """,
        """
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            while True:
                events = store.read(id)
                try:
                    return store.append(id, decide(events), expected=len(events))
                except VersionConflict:
                    continue
        """,
        """
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            for attempt in range(tries):
                events = store.read(id)
                try:
                    return store.append(id, decide(events), expected=len(events))
                except VersionConflict:
                    pass
            return []
        """,
        """
        def retry(store, id, decide, tries):
            events = store.read(id)
            return store.append(id, decide(events), expected=len(events))
        """,
        """
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            for attempt in range(tries + 1):
                events = store.read(id)
                if not (decided := decide(events)):
                    return []
                try:
                    return store.append(id, decided, expected=len(events))
                except VersionConflict:
                    if attempt == tries:
                        raise
        """,
        """
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            for attempt in range(tries):
                events = store.read(id)
                try:
                    return store.append(id, decide(events), expected=len(events))
                except VersionConflict:
                    if attempt == tries - 1:
                        raise
        """,
        """
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            for attempt in range(tries):
                try:
                    events = store.read(id)
                    decided = decide(events)
                    if not decided:
                        return []
                    return store.append(id, decided, expected=len(events))
                except VersionConflict:
                    if attempt == tries - 1:
                        raise
                except Exception:
                    return []
        """,
        """
        def retry(store, id, decide, tries):
            decide(store.read(id))
            return []
        """,
    ],
)


# -------------------------------------------------------------------------------------- what next?

NEXT = {
    "a": (
        "decide again",
        "another writer was faster, so your decision is based on an outdated state. The same "
        "append would fail every time.",
    ),
    "b": (
        "repeat",
        "the event may be stored already. The same append with the same token is safe either "
        "way: it returns what was recorded, or stores the event now.",
    ),
    "c": (
        "stop",
        "a rule rejected the command, and nothing has changed since. A second attempt gets the "
        "same answer.",
    ),
    "d": (
        "decide again",
        "without the token, a repeat may store the deposit twice. Read the log: does it contain "
        "a deposit with this receipt? Then decide.",
    ),
    "e": (
        "stop",
        "the event itself is invalid. It will be invalid at every version.",
    ),
}

what_next = Exercise(
    judge=choices(NEXT, ("repeat", "decide again", "stop")),
    right="the kind of failure tells you what to do: repeat, decide again, or stop.",
    hints=[
        "for each letter, ask: may the event be stored already? Is the decision still based on "
        "the current state?",
        'one answer is "repeat", two are "decide again", and two are "stop".',
    ],
    answer="""
        next_step = {
            "a": "decide again",
            "b": "repeat",
            "c": "stop",
            "d": "decide again",
            "e": "stop",
        }
    """,
    explanation=(
        "Repeat only with the same token. Base each decision on what you have just read. If "
        "nothing in the log identifies the request, reading does not tell you whether its event "
        "is stored. So let the event name a receipt or a request."
    ),
    mistakes=[
        """
        next_step = {letter: "repeat" for letter in "abcde"}
        """,
        """
        next_step = {letter: "decide again" for letter in "abcde"}
        """,
        """
        next_step = {
            "a": "decide again", "b": "repeat", "c": "decide again", "d": "repeat", "e": "stop"
        }
        """,
        """
        next_step = {"a": "decide again", "b": "repeat", "c": "stop", "d": "repeat", "e": "stop"}
        """,
        """
        next_step = {
            "a": "decide again", "b": "repeat", "c": "stop", "d": "decide again", "e": "repeat"
        }
        """,
        """
        next_step = {"a": "retry", "b": "retry", "c": "stop", "d": "retry", "e": "stop"}
        """,
    ],
)
