"""The step-by-step race: two writers withdraw from one account, and you choose who goes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from eventlab.errors import VersionConflict
from eventlab.events import Event
from eventlab.lessons.interactive import Interactive, as_table, button, side_by_side
from eventlab.store.store import ANY, NEW, EventStore

ACCOUNT: Final = "shared"
FUNDS: Final = 100
AMOUNT: Final = 80
SIGN: Final = {"create": 0, "deposit": 1, "withdraw": -1}


class StepRace(Interactive):
    """Two writers, A and B, who both try to withdraw 80 from an account that holds 100.

    Each writer reads, decides and appends, one step at a time. With ``checked=False``, a writer
    does not say which version it has read. The constructor deletes all events of the store, so use
    a store that nothing else uses.

    >>> StepRace(store).play("ABAB")
    A: read version 2, funds 100; decided to withdraw 80. Next: append, expected=2
    B: read version 2, funds 100; decided to withdraw 80. Next: append, expected=2
    log: create, deposit 100
    funds: 100
    """

    def __init__(self, store: EventStore, *, checked: bool = True) -> None:
        self._store = store
        self._checked = checked
        self.reset()

    def reset(self) -> None:
        """Start over with an account that holds 100, and two writers who have not begun."""
        self._store.drop()
        opening = [Event("create"), Event("deposit", {"amount": FUNDS})]
        self._store.append(ACCOUNT, opening, expected=NEW)
        self.writers = {name: _Writer(self._store, self._checked) for name in "AB"}

    def press(self, name: str) -> None:
        """Let a writer take its next step; a writer that is done does nothing."""
        self.writers[name].step()

    def play(self, order: str) -> StepRace:
        """Start over, and let the writers take their steps in an order such as ``"AABABB"``."""
        self.reset()
        for name in order:
            self.press(name)
        return self

    @property
    def funds(self) -> int:
        """The funds that result from the events in the store."""
        return self._read()[1]

    def _read(self) -> tuple[list[str], int]:
        events = self._store.read(ACCOUNT)
        moved = [SIGN[event.type] * event.data.get("amount", 0) for event in events]
        names = [f"{e.type} {e.data['amount']}" if e.data else e.type for e in events]
        return names, sum(moved)

    def __repr__(self) -> str:
        names, funds = self._read()
        lines = [f"{name}: {writer}" for name, writer in self.writers.items()]
        return "\n".join([*lines, f"log: {', '.join(names)}", f"funds: {funds}"])

    def table(self) -> str:
        """Return the writers and the log as HTML, side by side."""
        names, funds = self._read()
        rows = list(enumerate(names, start=1))
        a, b = (
            (f"writer {name}", as_table(["step"], [[line] for line in [*w.past, w.future]]))
            for name, w in self.writers.items()
        )
        log = (f"the log: funds {funds}", as_table(["version", "event"], rows))
        return side_by_side(a, log, b)

    def controls(self, refresh: Callable[[], None]) -> Sequence[Any]:
        """Return a button for each writer, and a button to start over."""
        return [
            button("A: next step", lambda: self.press("A"), refresh),
            button("B: next step", lambda: self.press("B"), refresh),
            button("Start over", self.reset, refresh),
        ]


class _Writer:
    """A writer, with the steps that it has taken and its next step."""

    def __init__(self, store: EventStore, checked: bool) -> None:
        self._store = store
        self._checked = checked
        self.past: list[str] = []
        self._steps = self._withdraw()
        self.future = next(self._steps)

    def step(self) -> None:
        self.future = next(self._steps, self.future)

    def _withdraw(self) -> Iterator[str]:
        """Yield a description of the next step; each call of ``next`` takes one step."""
        while True:
            yield "Next: read"
            events = self._store.read(ACCOUNT)
            version = len(events)
            funds = sum(SIGN[event.type] * event.data.get("amount", 0) for event in events)
            self.past.append(f"read version {version}, funds {funds}")
            yield "Next: decide"
            if funds < AMOUNT:
                self.past.append(f"rejected the withdrawal: {funds} is less than {AMOUNT}")
                break
            self.past.append(f"decided to withdraw {AMOUNT}")
            expected = version if self._checked else ANY
            yield f"Next: append, expected={expected if self._checked else 'ANY'}"
            try:
                withdrawal = Event("withdraw", {"amount": AMOUNT})
                [event] = self._store.append(ACCOUNT, [withdrawal], expected=expected)
            except VersionConflict as conflict:
                self.past.append(f"got a conflict: the account is at version {conflict.actual}")
                continue
            self.past.append(f"stored version {event.version}")
            break
        yield "Done"

    def __repr__(self) -> str:
        return f"{'; '.join(self.past)}. {self.future}" if self.past else self.future
