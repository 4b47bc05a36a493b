"""Errors keep their data and their sentence when they are copied or sent to another process."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import eventlab
from eventlab.errors import EventLabError
from eventlab.events import Recorded


def kinds_of(kind: type[EventLabError]) -> Iterator[type[EventLabError]]:
    for narrower in kind.__subclasses__():
        if narrower.__module__.startswith("eventlab"):
            yield narrower
        yield from kinds_of(narrower)


def every_error() -> list[type[EventLabError]]:
    for module in pkgutil.walk_packages(eventlab.__path__, "eventlab."):
        if module.name.endswith("errors") or module.name == "eventlab.accounts.account":
            importlib.import_module(module.name)
    return sorted({EventLabError, *kinds_of(EventLabError)}, key=lambda kind: kind.__name__)


def example_of(kind: type[EventLabError]) -> EventLabError:
    """Return an error of this kind, with a value of the right type for each of its arguments."""
    values: dict[str, object] = {
        "int": 3,
        "Mapping[str, tuple[object, int]]": {"JaneDoe": (7, 8)},
        "str": "JohnDoe",
        "Recorded": Recorded("JohnDoe", 2, "deposit", {"amount": 100}, "1551312827949-0"),
        "Exception": ValueError("bad"),
        "BaseException": ValueError("bad"),
    }
    if "__init__" not in vars(kind):
        return kind("what happened")
    parameters = list(inspect.signature(kind).parameters.values())
    return kind(
        *(values.get(str(each.annotation).split(" |")[0], "JohnDoe") for each in parameters)
    )


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_error_survives_pickle_and_copy(kind: type[EventLabError]) -> None:
    error = example_of(kind)
    data = {name: str(value) for name, value in vars(error).items()}
    for returned in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(returned) is kind
        assert str(returned) == str(error)
        assert {name: str(value) for name, value in vars(returned).items()} == data
