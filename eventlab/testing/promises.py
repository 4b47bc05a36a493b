"""The promises of a contract, and a function that checks them without pytest."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from eventlab.testing.report import difference, document_lines, same

E = TypeVar("E", bound=Exception)


@dataclass(frozen=True)
class Promise:
    """A promise of a contract, with the error of its test (None if the promise is kept)."""

    name: str
    text: str
    error: Exception | None

    def __str__(self) -> str:
        line = f"{'broken' if self.error else 'kept  '}  {self.text}"
        if self.error is None:
            return line
        kind = "" if isinstance(self.error, AssertionError) else f"{type(self.error).__name__}: "
        return f"{line}\n{textwrap.indent(f'{kind}{self.error}', ' ' * 8)}"


class Promises(list[Promise]):
    """The promises of a contract, in order. Printing them shows the error of each broken promise.

    >>> print(Promises([Promise("test_read", "Events are read oldest first.", None)]))
    kept    Events are read oldest first.
    1 of 1 promises kept
    """

    def __str__(self) -> str:
        kept = len(self) - len(self.broken)
        return "\n".join([*map(str, self), f"{kept} of {len(self)} promises kept"])

    @property
    def broken(self) -> list[Promise]:
        """The promises that are broken."""
        return [promise for promise in self if promise.error]


def check(contract: type, **fixtures: Callable[[], Any]) -> Promises:
    """Check each promise of a contract on new objects.

    Pass a class or function that creates each object, as in ``store=LittleStore``. In pytest, write
    a class that inherits from the contract and has a fixture with the name of each argument.

    >>> from eventlab.lessons.little_store import LittleStore
    >>> from eventlab.testing import StoreContract
    >>> check(StoreContract, store=LittleStore).broken
    []
    """
    found = Promises()
    for name in promise_names(contract):
        test = getattr(contract(), name)
        wanted = test.__code__.co_varnames[1 : test.__code__.co_argcount]
        error: Exception | None = None
        try:
            test(**{argument: fixtures[argument]() for argument in wanted})
        except Exception as raised:  # noqa: BLE001 - the store under test is user code
            error = raised
        found.append(Promise(name, (test.__doc__ or name).partition("\n")[0], error))
    return found


def promise_names(contract: type) -> list[str]:
    """Return the names of the tests of a contract, in the order of their definitions."""
    names: dict[str, None] = {}
    own, *bases = contract.__mro__
    for base in (*bases, own):
        names |= dict.fromkeys(name for name in vars(base) if name.startswith("test_"))
    return list(names)


def expect(actual: object, expected: object, what: str) -> None:
    """Raise AssertionError if two values differ; ``what`` describes them in the message."""
    __tracebackhide__ = True
    if not same(expected, actual):
        lines = difference(document_lines(expected), document_lines(actual))
        raise AssertionError(f"{what} (- expected, + actual):\n{lines}")


@contextlib.contextmanager
def expect_error(kind: type[E], what: str) -> Iterator[list[E]]:
    """Raise AssertionError unless the block raises ``kind``; yield a list that gets the error."""
    __tracebackhide__ = True
    caught: list[E] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    except Exception as error:
        raise AssertionError(
            f"{what} raises {type(error).__name__} ({error}), expected {kind.__name__}"
        ) from error
    else:
        raise AssertionError(f"{what} is accepted, expected {kind.__name__}")
