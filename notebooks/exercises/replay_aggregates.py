"""The exercises of 03_replay_aggregates."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from eventlab import Aggregate, CommandRejected, Event, Recorded
from eventlab.lessons.exercise import Exercise, Wrong


class _Door(Aggregate):
    """The door from the page."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.open = False

    def push(self) -> None:
        """Open the door, unless it is open."""
        if not self.open:
            self.record("opened")

    def apply(self, event: Event | Recorded) -> None:
        """Change the state for one event."""
        self.open = event.type == "opened"


def _log(*steps: Event) -> list[Recorded]:
    """Return events as they come from a store."""
    return [
        Recorded("a", version, step.type, step.data, f"{version}-0")
        for version, step in enumerate(steps, 1)
    ]


def _judge_close(close: Callable[[Any], object]) -> None:
    door = _Door("front").replay(_log(Event("opened")))
    close(door)
    if not door.changes and not door.open:
        raise Wrong(
            "the door looks closed, but no event says so: after a replay, it is open again. "
            "Record the event and let apply change the state."
        )
    if not door.changes:
        raise Wrong('the open door recorded nothing. Call door.record("closed").')
    if [event.type for event in door.changes] != ["closed"]:
        raise Wrong(f"expected one event, 'closed'; the door recorded {door.changes}.")
    close(door)
    if len(door.changes) != 1:
        raise Wrong(
            "a closed door was closed again, and recorded a second event. Nothing happened, so "
            "there is nothing to record."
        )
    fresh = _Door("back")
    close(fresh)
    if fresh.changes:
        raise Wrong("a new door is closed: closing it must record nothing.")


closing_a_door = Exercise(
    judge=_judge_close,
    right="you decided and recorded. The state followed, because record calls apply.",
    hints=[
        "close is like push, but the other way around.",
        'if door.open: door.record("closed").',
    ],
    answer="""
        def close(door):
            if door.open:
                door.record("closed")
    """,
    explanation="A command checks the state and records an event. It never changes the state.",
    mistakes=[
        """
        def close(door):
            door.open = False
        """,
        """
        def close(door):
            door.record("closed")
        """,
        """
        def close(door):
            if not door.open:
                door.record("closed")
        """,
        """
        def close(door):
            if door.open:
                door.record("close")
        """,
        """
        def close(door):
            if door.open or not door.version:
                door.record("closed")
        """,
    ],
)

_PLACES = {"command", "apply", "neither"}


def _judge_places(places: dict[str, str]) -> None:
    if not isinstance(places, dict) or set(places) != set("abcde"):
        raise Wrong('give a dict with the five letters: {"a": ..., "b": ..., and so on to "e"}.')
    if not set(places.values()) <= _PLACES:
        raise Wrong('each answer is one of "command", "apply" and "neither".')
    if places["a"] == "apply":
        raise Wrong(
            "a: the day the rule changes, old events break the new rule, and the account can no "
            "longer be loaded. apply must not reject anything."
        )
    if places["a"] != "command":
        raise Wrong("a: a rule says what may happen, so the command that decides must check it.")
    if places["b"] == "command":
        raise Wrong(
            "b: a replay calls apply only. A change that a command makes itself is lost at the "
            "next load."
        )
    if places["b"] != "apply":
        raise Wrong("b: something has to change the funds, and a replay calls only apply.")
    if places["c"] == "apply":
        raise Wrong("c: every load replays the event, so every load sends the letter again.")
    if places["c"] == "command":
        raise Wrong(
            "c: a decision may be rejected by a version conflict and made again. Then the customer "
            "gets a letter about something that was never stored."
        )
    if places["d"] == "apply":
        raise Wrong("d: a replay next year would use next year's rate, and the past would change.")
    if places["d"] != "command":
        raise Wrong("d: the event needs the rate of that day, and only the command knows it.")
    if places["e"] == "apply":
        raise Wrong("e: each replay would run on a different day, and could reach another state.")
    if places["e"] != "command":
        raise Wrong("e: the rule depends on the day of the decision.")


where_it_goes = Exercise(
    judge=_judge_places,
    right=(
        "commands decide once, with everything known that day. apply only replays the result, "
        "as often as you like."
    ),
    hints=[
        "for each letter, ask: what happens when the event is replayed a year later?",
        "three of the five belong in the command, one in apply, and one in neither: see page 05.",
    ],
    answer="""
        places = {"a": "command", "b": "apply", "c": "neither", "d": "command", "e": "command"}
    """,
    explanation=(
        "apply must be repeatable: no rules, no clock, no rates, no side effects. A side effect is "
        "work for a subscription, after the event is stored."
    ),
    mistakes=[
        """
        places = {"a": "apply", "b": "apply", "c": "neither", "d": "command", "e": "command"}
        """,
        """
        places = {"a": "command", "b": "command", "c": "neither", "d": "command", "e": "command"}
        """,
        """
        places = {"a": "command", "b": "apply", "c": "apply", "d": "command", "e": "command"}
        """,
        """
        places = {"a": "command", "b": "apply", "c": "command", "d": "command", "e": "command"}
        """,
        """
        places = {"a": "command", "b": "apply", "c": "neither", "d": "apply", "e": "command"}
        """,
        """
        places = {"a": "command", "b": "apply", "c": "neither", "d": "command", "e": "apply"}
        """,
    ],
)


def _new_book(kind: Any, *given: Event) -> Any:
    try:
        book = kind("emma")
    except TypeError as error:
        if "abstract" not in str(error):
            raise
        raise Wrong("the class has no apply yet. Only apply may change the state.") from error
    if "changes" not in vars(book):
        raise Wrong(
            "__init__ must begin with super().__init__(id): it sets up id, version and changes."
        )
    if not hasattr(book, "reader"):
        raise Wrong("a new book needs an initial state: set self.reader = None in __init__.")
    return book.replay(_log(*given))


def _decided(kind: Any, given: list[Event], decide: Callable[[Any], object]) -> Any:
    """Return the book after a decision, or None if it was rejected and left no trace."""
    book = _new_book(kind, *given)
    before = book.reader
    try:
        decide(book)
    except CommandRejected as error:
        if book.changes or book.reader != before:
            raise Wrong(
                "a rejected command left a trace: check every rule first, and record afterwards."
            ) from error
        return None
    return book


def _lent(reader: str) -> Event:
    return Event("lent", {"reader": reader})


def _judge_book(kind: Any) -> None:
    if not isinstance(kind, type) or not issubclass(kind, Aggregate):
        raise Wrong("give the class itself, and derive it from Aggregate: class Book(Aggregate).")
    if _new_book(kind).reader is not None:
        raise Wrong("nobody has a new book: its reader must be None.")
    for name in ("Ann", "Bob"):
        lent = _decided(kind, [], lambda book, name=name: book.lend(name))
        if lent is None:
            raise Wrong("a book that nobody has can be lent, but your class rejects that.")
        if not lent.changes:
            raise Wrong(
                "lend recorded no event, so there is nothing to store: the loan is lost when the "
                "process ends."
            )
        if list(lent.changes) != [_lent(name)]:
            raise Wrong(
                f"for a new book, lend({name!r}) should record {_lent(name)}; you recorded "
                f"{lent.changes}."
            )
        if _new_book(kind, _lent(name)).reader != name:
            raise Wrong(
                "after a replay of 'lent', the book does not know its reader. A replay calls "
                "apply only: move the state change from lend to apply."
            )
        if lent.reader != name:
            raise Wrong(f"after lend({name!r}), your book's reader is {lent.reader!r}.")
    _judge_book_rules(kind)


def _judge_book_rules(kind: Any) -> None:
    ann = _lent("Ann")
    if _decided(kind, [ann], lambda book: book.lend("Bob")) is not None:
        raise Wrong(
            "Ann has the book, and yet it was lent to Bob. Raise CommandRejected before you record."
        )
    if _decided(kind, [], lambda book: book.give_back()) is not None:
        raise Wrong("nobody has the book, and yet it was given back. Raise CommandRejected.")
    back = _decided(kind, [ann], lambda book: book.give_back())
    if back is None:
        raise Wrong("Ann has the book and may give it back, but your class rejects that.")
    if [event.type for event in back.changes] != ["returned"]:
        raise Wrong(
            f"after 'lent', give_back() should record 'returned'; you recorded {back.changes}."
        )
    if back.reader is not None or _new_book(kind, ann, Event("returned")).reader is not None:
        raise Wrong("after 'returned', nobody has the book: apply must set reader to None.")
    again = _decided(kind, [ann, Event("returned")], lambda book: book.lend("Bob"))
    if again is None:
        raise Wrong("a book that came back can be lent again, but your class rejects that.")
    try:
        odd = _new_book(kind, ann, _lent("Bob"))
    except Exception as error:
        raise Wrong(
            "apply rejected an event in the log, which has two loans in a row, stored before the "
            "rule existed. The second loan has happened, and now the book can never be loaded. "
            "Rules belong in the commands."
        ) from error
    if odd.reader != "Bob":
        raise Wrong("the log says that Bob has the book. apply follows the log, without rules.")


your_own_aggregate = Exercise(
    judge=_judge_book,
    right=(
        "your own aggregate: rules in the commands, state in apply, and a log that explains the "
        "state."
    ),
    hints=[
        "copy the shape of Door: __init__, two commands, apply.",
        "lend: if self.reader is not None, raise CommandRejected; otherwise record 'lent' with the "
        "reader.",
        "apply: 'lent' sets self.reader to event.data['reader'], 'returned' sets it to None.",
    ],
    answer="""
        from eventlab import Aggregate, CommandRejected


        class Book(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.reader = None

            def lend(self, reader):
                if self.reader is not None:
                    raise CommandRejected(f"{self.id!r} is lent to {self.reader}")
                self.record("lent", {"reader": reader})

            def give_back(self):
                if self.reader is None:
                    raise CommandRejected(f"{self.id!r} is not lent")
                self.record("returned")

            def apply(self, event):
                match event.type:
                    case "lent":
                        self.reader = event.data["reader"]
                    case "returned":
                        self.reader = None
    """,
    explanation=(
        "The commands read the state and never write it. Whatever they record goes through apply, "
        "now and at every later load."
    ),
    mistakes=[
        """
        from eventlab import Aggregate, CommandRejected


        class Book(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.reader = None

            def lend(self, reader):
                self.record("lent", {"reader": reader})
                self.reader = reader

            def give_back(self):
                self.record("returned")
                self.reader = None

            def apply(self, event):
                pass
        """,
        """
        from eventlab import Aggregate


        class Book(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.reader = None

            def lend(self, reader):
                self.record("lent", {"reader": reader})

            def give_back(self):
                self.record("returned")

            def apply(self, event):
                self.reader = event.data.get("reader")
        """,
        """
        from eventlab import Aggregate, CommandRejected


        class Book(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.reader = None

            def lend(self, reader):
                self.record("lent", {"reader": reader})

            def give_back(self):
                self.record("returned")

            def apply(self, event):
                if event.type == "lent":
                    if self.reader is not None:
                        raise CommandRejected("it is lent")
                    self.reader = event.data["reader"]
                else:
                    if self.reader is None:
                        raise CommandRejected("it is not lent")
                    self.reader = None
        """,
        """
        from eventlab import Aggregate, CommandRejected


        class Book(Aggregate):
            def __init__(self, id):
                self.reader = None

            def lend(self, reader):
                self.record("lent", {"reader": reader})

            def give_back(self):
                self.record("returned")

            def apply(self, event):
                self.reader = event.data.get("reader")
        """,
        """
        from eventlab import Aggregate, CommandRejected


        class Book(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.reader = None

            def lend(self, reader):
                if self.reader is not None:
                    raise CommandRejected("it is lent")
                self.record("lent", {"reader": "Ann"})

            def give_back(self):
                self.record("returned")

            def apply(self, event):
                self.reader = event.data.get("reader")
        """,
        """
        from eventlab import Aggregate, CommandRejected


        class Book(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.reader = None

            def lend(self, reader):
                before = self.reader
                self.record("lent", {"reader": reader})
                if before is not None:
                    raise CommandRejected("it is lent")

            def give_back(self):
                if self.reader is None:
                    raise CommandRejected("it is not lent")
                self.record("returned")

            def apply(self, event):
                self.reader = event.data.get("reader")
        """,
        """
        from eventlab import Aggregate


        class Book(Aggregate):
            def __init__(self, id):
                super().__init__(id)

            def lend(self, reader):
                self.record("lent", {"reader": reader})

            def apply(self, event):
                self.reader = event.data.get("reader")
        """,
        """
        class Book:
            def __init__(self, id):
                self.reader = None
        """,
    ],
)


def _events(*steps: tuple[str, int]) -> list[Recorded]:
    events = [Recorded("a", 1, "create", {}, "1-0")]
    for version, (type, amount) in enumerate(steps, start=2):
        events.append(Recorded("a", version, type, {"amount": amount}, f"{version}-0"))
    return events


def _judge_highest(highest: Callable[[list[Recorded]], int]) -> None:
    events = _events(("deposit", 60), ("deposit", 50), ("withdraw", 90), ("deposit", 70))
    given = list(events)
    try:
        found = highest(events)
    except KeyError as error:
        raise Wrong(
            f"not every event has {error}: a 'create' moves no money. Check the type first."
        ) from error
    if events != given:
        raise Wrong("you changed the list you were given: the next reader finds different events.")
    if found == 90:
        raise Wrong("90 is the final balance (and the largest amount). The account once held more.")
    if found == 70:
        raise Wrong("70 is the largest single deposit. A balance is the sum of all events so far.")
    if found == 180:
        raise Wrong(
            "subtract withdrawals: 60 + 50 - 90 + 70. And the highest balance occurs along the way."
        )
    if found != 110:
        raise Wrong(
            "after deposits of 60 and 50, the account held 110, and never more; your function "
            f"returns {found!r}."
        )
    if highest(_events()) != 0:
        raise Wrong("the highest balance of an account that was never used is 0.")
    if (found := highest(_events(("deposit", 10), ("withdraw", 5), ("deposit", 50)))) != 55:
        raise Wrong(
            "right for the first account. The next account held 10, then 5, then 55, so its "
            f"highest balance is 55; your function returns {found!r}."
        )
    dice = random.Random()
    for _ in range(20):
        steps = [(dice.choice(["deposit", "withdraw"]), dice.randint(1, 99)) for _ in range(8)]
        sums = accumulate(amount if kind == "deposit" else -amount for kind, amount in steps)
        if (found := highest(_events(*steps))) != (most := max(0, *sums)):
            raise Wrong(
                f"right so far, but for {steps}, the highest balance is {most}; your function "
                f"returns {found!r}."
            )


the_highest_balance = Exercise(
    judge=_judge_highest,
    right="a new question about old events. Nobody had to foresee it when the events were stored.",
    hints=[
        "keep two numbers: the current balance and the highest so far.",
        "after each event: most = max(most, now).",
    ],
    answer="""
        def highest(events):
            now = most = 0
            for event in events:
                if event.type == "deposit":
                    now += event.data["amount"]
                elif event.type == "withdraw":
                    now -= event.data["amount"]
                most = max(most, now)
            return most
    """,
    explanation=(
        "The state of a replay is what you choose to keep: here the balance, and the highest one "
        "so far."
    ),
    mistakes=[
        """
        def highest(events):
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            return sum(sign[e.type] * e.data.get("amount", 0) for e in events)
        """,
        """
        def highest(events):
            return max((e.data["amount"] for e in events if e.type == "deposit"), default=0)
        """,
        """
        def highest(events):
            return sum(e.data["amount"] for e in events if e.type == "deposit")
        """,
        """
        from itertools import accumulate


        def highest(events):
            sign = {"deposit": 1, "withdraw": -1}
            amounts = (sign[e.type] * e.data["amount"] for e in events if e.type in sign)
            return max(accumulate(amounts))
        """,
        """
        def highest(events):
            return 110 if len(events) > 1 else 0
        """,
        """
        def highest(events):
            return sum(e.data["amount"] for e in events)
        """,
        """
        def highest(events):
            return {5: 110, 1: 0, 4: 55}[len(events)]
        """,
        """
        def highest(events):
            now = most = 0
            while events:
                event = events.pop(0)
                sign = {"deposit": 1, "withdraw": -1}.get(event.type, 0)
                now += sign * event.data.get("amount", 0)
                most = max(most, now)
            return most
        """,
        """
        def highest(events):
            now = most = 0
            for event in events:
                sign = {"deposit": 1, "withdraw": -1}.get(event.type, 0)
                now += sign * event.data.get("amount", 0)
                most = max(most, now)
            print(most)
        """,
    ],
)


class _Account(Aggregate):
    """The account from the page."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.funds = 0

    def create(self) -> None:
        """Open the account."""
        if self.version:
            raise CommandRejected(f"account {self.id!r} already exists")
        self.record("create")

    def deposit(self, amount: Any) -> None:
        """Pay in."""
        self.check(amount)
        self.record("deposit", {"amount": amount})

    def withdraw(self, amount: Any) -> None:
        """Take out."""
        self.check(amount)
        if amount > self.funds:
            raise CommandRejected(f"account {self.id!r} holds {self.funds}, less than {amount}")
        self.record("withdraw", {"amount": amount})

    def check(self, amount: Any) -> None:
        """Reject what no account may do."""
        if not self.version:
            raise CommandRejected(f"account {self.id!r} does not exist")
        if type(amount) is not int or amount < 1:
            raise CommandRejected(f"amount {amount!r} is not a positive whole number")

    def apply(self, event: Event | Recorded) -> None:
        """Change the state for one event."""
        sign = {"deposit": 1, "withdraw": -1}.get(event.type, 0)
        self.funds += sign * event.data.get("amount", 0)


class _Rewritten(_Account):
    """The same account, implemented differently."""

    def __init__(self, id: str) -> None:
        Aggregate.__init__(self, id)
        self.movements: list[int] = []

    @property
    def funds(self) -> int:  # type: ignore[override]
        """The sum of all movements."""
        return sum(self.movements)

    def apply(self, event: Event | Recorded) -> None:
        """Change the state for one event."""
        if event.type != "create":
            amount = event.data["amount"]
            self.movements.append(amount if event.type == "deposit" else -amount)


class _Overdrawn(_Account):
    def withdraw(self, amount: Any) -> None:
        self.check(amount)
        self.record("withdraw", {"amount": amount})


class _NeverEmpty(_Account):
    def withdraw(self, amount: Any) -> None:
        self.check(amount)
        if amount >= self.funds:
            raise CommandRejected(f"account {self.id!r} holds {self.funds}, not {amount}")
        self.record("withdraw", {"amount": amount})


class _OpenedTwice(_Account):
    def create(self) -> None:
        self.record("create")


class _FromNothing(_Account):
    def deposit(self, amount: Any) -> None:
        if type(amount) is not int or amount < 1:
            raise CommandRejected(f"amount {amount!r} is not a positive whole number")
        self.record("deposit", {"amount": amount})


class _Negative(_Account):
    def check(self, amount: Any) -> None:  # noqa: ARG002
        if not self.version:
            raise CommandRejected(f"account {self.id!r} does not exist")


class _Forgetful(_Account):
    def deposit(self, amount: Any) -> None:
        super().deposit(amount)
        self.funds += amount

    def apply(self, event: Event | Recorded) -> None:
        if event.type == "withdraw":
            self.funds -= event.data["amount"]


class _Stuck(_Account):
    def apply(self, event: Event | Recorded) -> None:
        if event.type == "deposit":
            self.funds += event.data["amount"]


class _Twice(_Account):
    def withdraw(self, amount: Any) -> None:
        super().withdraw(amount)
        self.record("withdraw", {"amount": amount})


_BROKEN: dict[type[_Account], str] = {
    _Overdrawn: "lets a customer take out more than the account holds",
    _NeverEmpty: "does not let a customer take out the last cent",
    _OpenedTwice: "can be opened twice",
    _FromNothing: "accepts a deposit before it is opened",
    _Negative: "accepts a deposit of -5, which takes money out",
    _Stuck: "stores a withdrawal, but does not subtract it",
    _Forgetful: "loses its deposits in a replay, because apply ignores them",
    _Twice: "records each withdrawal twice",
}


_Tests = Callable[[type[Aggregate]], object]


def _run_tests(tests: _Tests, kind: type[_Account]) -> Exception | None:
    # All classes get the same name: a test must look at what an account does, not at its name.
    account = type("Account", (kind,), {})
    try:
        tests(account)
    except Exception as error:  # noqa: BLE001 - a test that crashes has failed
        return error
    return None


def _judge_tests(tests: _Tests) -> None:
    failed = _run_tests(tests, _Account)
    if isinstance(failed, AssertionError):
        why = str(failed).partition("\n")[0] or "an assert failed"
        raise Wrong(f"the account from the page is correct, but your tests fail: {why}") from failed
    if failed is not None:
        raise failed
    missed = [kind for kind in _BROKEN if _run_tests(tests, kind) is None]
    if len(missed) == len(_BROKEN):
        raise Wrong(
            "your tests found none of the broken accounts. Do they use `kind`, the class that "
            "they get, and let the errors of given(...) through?"
        )
    if missed:
        raise Wrong(
            "your tests pass for the correct account, but also for an account that "
            f"{_BROKEN[missed[0]]}."
        )
    again = _run_tests(tests, _Rewritten) or _run_tests(tests, _Account)
    if again is not None:
        raise Wrong(
            "your tests fail for a correct account that is written differently. Test only what an "
            "account records and rejects, and its funds. The failure: "
            f"{str(again).partition(chr(10))[0] or 'an assert failed'}"
        ) from again


tests_that_notice = Exercise(
    judge=_judge_tests,
    right="your tests found all eight broken accounts, and no test needed a server.",
    hints=[
        "one test for each sentence about an account: what it does, what it rejects, and the funds "
        "afterwards.",
        "test the limit of each rule: the last cent may be taken out, but not one more.",
        "opened = Event('create'), Event('deposit', {'amount': 100}); "
        "given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected).",
    ],
    answer="""
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).when(kind.create).rejected(CommandRejected)
            given(kind, *opened).shows(funds=100)
            given(kind).when(kind.deposit, 5).rejected(CommandRejected)
            given(kind, *opened).when(kind.deposit, -5).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 100)
            test.then(Event("withdraw", {"amount": 100})).shows(funds=0)
            given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected)
    """,
    explanation=(
        "A rule needs two tests: one on each side of its limit. then() checks a replay as well, "
        "so state that is changed outside apply is noticed too."
    ),
    mistakes=[
        """
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).when(kind.create).rejected(CommandRejected)
            given(kind, *opened).shows(funds=100)
            given(kind).when(kind.deposit, 5).rejected(CommandRejected)
            given(kind, *opened).when(kind.deposit, -5).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 100)
            test.then(Event("withdraw", {"amount": 100})).shows(funds=0)
        """,
        """
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).when(kind.create).rejected(CommandRejected)
            given(kind, *opened).shows(funds=100)
            given(kind).when(kind.deposit, 5).rejected(CommandRejected)
            given(kind, *opened).when(kind.deposit, -5).rejected(CommandRejected)
            given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 30)
            test.then(Event("withdraw", {"amount": 30})).shows(funds=70)
        """,
        """
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).shows(funds=100)
            given(kind).when(kind.deposit, 5).rejected(CommandRejected)
            given(kind, *opened).when(kind.deposit, -5).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 100)
            test.then(Event("withdraw", {"amount": 100})).shows(funds=0)
            given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected)
        """,
        """
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).when(kind.create).rejected(CommandRejected)
            given(kind, *opened).shows(funds=100)
            given(kind, *opened).when(kind.deposit, -5).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 100)
            test.then(Event("withdraw", {"amount": 100})).shows(funds=0)
            given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected)
        """,
        """
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).when(kind.create).rejected(CommandRejected)
            given(kind, *opened).shows(funds=100)
            given(kind).when(kind.deposit, 5).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 100)
            test.then(Event("withdraw", {"amount": 100})).shows(funds=0)
            given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected)
        """,
        """
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).when(kind.create).rejected(CommandRejected)
            given(kind, *opened).shows(funds=100)
            given(kind).when(kind.deposit, 5).rejected(CommandRejected)
            given(kind, *opened).when(kind.deposit, -5).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 100)
            test.then(Event("withdraw", {"amount": 100}))
            given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected)
        """,
        """
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            from eventlab.accounts import Account as kind

            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).when(kind.create).rejected(CommandRejected)
            given(kind, *opened).shows(funds=100)
            given(kind).when(kind.deposit, 5).rejected(CommandRejected)
            given(kind, *opened).when(kind.deposit, -5).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 100)
            test.then(Event("withdraw", {"amount": 100})).shows(funds=0)
            given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected)
        """,
        """
        from eventlab import CommandRejected, Event
        from eventlab.testing import given


        def tests(kind):
            opened = Event("create"), Event("deposit", {"amount": 100})
            given(kind).when(kind.create).then(Event("create"))
            given(kind, *opened).when(kind.create).rejected(CommandRejected)
            given(kind, *opened).shows(funds=100)
            given(kind).when(kind.deposit, 5).rejected(CommandRejected)
            given(kind, *opened).when(kind.deposit, -5).rejected(CommandRejected)
            test = given(kind, *opened).when(kind.withdraw, 100)
            test.then(Event("withdraw", {"amount": 100})).shows(funds=0)
            given(kind, *opened).when(kind.withdraw, 101).rejected(CommandRejected)
            given(kind, *opened).when(kind.withdraw, 0).then()
        """,
    ],
)
