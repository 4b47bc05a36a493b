"""given/when/then tests of an aggregate: its history, a decision, and the events or the error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, Self, TypeVar

from eventlab.aggregate import Aggregate
from eventlab.errors import InvalidEvent
from eventlab.events import Event, Recorded, encode_batch
from eventlab.testing.history import EXAMPLE, extended
from eventlab.testing.report import difference, document_lines, event_line, paragraph, same

A = TypeVar("A", bound=Aggregate)
E = TypeVar("E", bound=Exception)
P = ParamSpec("P")


def given(new: Callable[[str], A], *events: Event | Recorded, id: str = EXAMPLE) -> Given[A]:
    """Return an aggregate with this history, to test its next decision.

    ``new`` takes an ``id`` and returns the aggregate; usually, ``new`` is the class. The events are
    stored one millisecond apart. To choose the time of an event, pass a Recorded instead.

    >>> from eventlab.accounts.account import Account, InsufficientFunds
    >>> given(Account, Event("create")).when(Account.deposit, 100).then(
    ...     Event("deposit", {"amount": 100})
    ... )
    Decided(events=[Event(type='deposit', data={'amount': 100})])
    >>> given(Account, Event("create")).when(Account.withdraw, 30).rejected(InsufficientFunds)
    InsufficientFunds("account 'example' holds 0, which is less than 30")
    """
    return Given(new, extended([], events, id), id)


class Given(Generic[A]):
    """An aggregate with a history, before the decision to test."""

    def __init__(self, new: Callable[[str], A], history: Sequence[Recorded], id: str) -> None:
        self._new = new
        self._id = id
        self.history = list(history)

    def load(self) -> A:
        """Return the aggregate after its events were applied."""
        return replayed(self._new, self._id, self.history)

    def when(
        self, decision: Callable[Concatenate[A, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> Decided[A]:
        """Make a decision: call a method of the class, or a function that takes the aggregate.

        >>> from eventlab.accounts.account import Account
        >>> given(Account, Event("create")).when(lambda account: account.deposit(5))
        Decided(events=[Event(type='deposit', data={'amount': 5})])
        """
        aggregate = self.load()
        error: Exception | None = None
        try:
            decision(aggregate, *args, **kwargs)
        except Exception as raised:  # noqa: BLE001 - then() and rejected() check it
            error = raised
        name = getattr(decision, "__name__", repr(decision))
        values = [repr(value) for value in args]
        values += [f"{key}={value!r}" for key, value in kwargs.items()]
        text = "the decision" if name == "<lambda>" else f"{name}({', '.join(values)})"
        return Decided(self, self._new, aggregate, error, text)

    def shows(self, **state: object) -> Self:
        """Check attributes of the state that results from the events.

        >>> from eventlab.accounts.account import Account
        >>> _ = given(Account, Event("create"), Event("deposit", {"amount": 5})).shows(funds=5)
        """
        __tracebackhide__ = True
        check_state(self.load(), state, paragraph("given", map(event_line, self.history)))
        return self


class Decided(Generic[A]):
    """The result of a decision: the events that it recorded, or the error that it raised."""

    def __init__(
        self,
        before: Given[A],
        new: Callable[[str], A],
        aggregate: A,
        error: Exception | None,
        decision: str,
    ) -> None:
        self._before = before
        self._new = new
        self._decision = decision
        self.aggregate = aggregate
        self.error = error
        self.events = list(aggregate.changes)

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Decided(error={self.error!r})"
        return f"Decided(events={self.events!r})"

    def then(self, *events: Event) -> Self:
        """Check that the decision recorded exactly these events, or no events if none are given.

        The method also checks that JSON can represent the events, and that a replay of the events
        results in the same state as the decision.
        """
        __tracebackhide__ = True
        if self.error is not None:
            self._fail(f"{self._decision} raised {error_text(self.error)}", cause=self.error)
        try:
            expected = encode_batch(list(events)).events if events else []
            recorded = encode_batch(self.events).events if self.events else []
        except InvalidEvent as error:
            self._fail(
                f"{self._decision} recorded an event that no store accepts: {error}", cause=error
            )
        if not all_same(expected, recorded):
            lines = difference([*map(event_line, expected)], [*map(event_line, recorded)])
            self._fail(
                f"{self._decision} recorded different events than expected "
                f"(- expected, + recorded):\n{lines}"
            )
        self._check_replay()
        return self

    def rejected(self, kind: type[E], match: str = "") -> E:
        """Check that the decision raised this kind of error and recorded nothing; return the error.

        ``match`` must be part of the error's text.
        """
        __tracebackhide__ = True
        error = self.error
        if error is None:
            lines = paragraph("recorded", map(event_line, self.events))
            self._fail(f"{self._decision} was not rejected with {kind.__name__}\n{lines}")
        if not isinstance(error, kind):
            self._fail(
                f"{self._decision} raised {error_text(error)}, expected {kind.__name__}",
                cause=error,
            )
        if match not in str(error):
            self._fail(f"{match!r} is not in the text of {error_text(error)}", cause=error)
        if self.events:
            lines = paragraph("recorded", map(event_line, self.events))
            self._fail(
                f"{self._decision} recorded events before it raised {kind.__name__}: "
                f"check everything first\n{lines}"
            )
        return error

    def shows(self, **state: object) -> Self:
        """Check attributes of the state after the decision."""
        __tracebackhide__ = True
        check_state(self.aggregate, state, self._context())
        return self

    def _check_replay(self) -> None:
        __tracebackhide__ = True
        aggregate = self.aggregate
        after = extended(self._before.history, self.events, aggregate.id)
        states = [replayed(self._new, aggregate.id, after).state() for _ in range(2)]
        live = aggregate.state()
        for name in sorted(live.keys() | states[0].keys()):
            one, two = (state.get(name) for state in states)
            # A value that differs between two replays, such as a plain object, is not comparable.
            if same(one, two) and not same(live.get(name), one):
                self._fail(
                    f"{name} is {live.get(name)!r} after {self._decision}, but {one!r} after a "
                    "replay of its events: change the state in apply, and nowhere else"
                )

    def _context(self) -> str:
        history = paragraph("given", map(event_line, self._before.history))
        return f"{history}\n{paragraph('when', [self._decision])}"

    def _fail(self, sentence: str, cause: Exception | None = None) -> NoReturn:
        __tracebackhide__ = True
        raise AssertionError(f"{sentence}\n\n{self._context()}") from cause


def all_same(expected: Sequence[Event], actual: Sequence[Event]) -> bool:
    """Return whether two lists have the same events, by type, data and meta."""
    one = [[event.type, event.data, event.meta] for event in expected]
    return same(one, [[event.type, event.data, event.meta] for event in actual])


def error_text(error: Exception) -> str:
    """Return the type and the text of an error.

    >>> error_text(ValueError("too much"))
    'ValueError: too much'
    """
    return f"{type(error).__name__}: {error}"


def replayed(new: Callable[[str], A], id: str, history: Sequence[Recorded]) -> A:
    """Return a new aggregate after a replay of ``history``."""
    # Each replay gets copies, because apply may keep part of an event as state and change it later.
    return new(id).replay(extended([], history, id))


def check_state(aggregate: Aggregate, expected: dict[str, Any], context: str) -> None:
    """Raise AssertionError if an attribute does not have the expected value."""
    __tracebackhide__ = True
    missing = object()
    found = {name: getattr(aggregate, name, missing) for name in expected}
    unknown = [name for name in expected if found[name] is missing]
    kind = type(aggregate).__name__
    if unknown:
        raise AssertionError(f"{kind} has no attribute {unknown[0]!r}\n\n{context}")
    if not same(expected, found):
        lines = difference(document_lines(expected), document_lines(found))
        raise AssertionError(
            f"{kind} has a different state than expected (- expected, + shown):\n"
            f"{lines}\n\n{context}"
        )
