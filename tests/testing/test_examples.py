"""The examples in the docstrings of the test kit are true."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

import eventlab
from tests.house.rooms import PACKAGE, name_of

MODULES = [name_of(path) for path in sorted((PACKAGE / "testing").rglob("*.py"))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_kit_are_true(name: str) -> None:
    module = import_module(f"eventlab.{name}")
    names = vars(module) | {"Event": eventlab.Event}
    result = doctest.testmod(module, extraglobs=names)
    assert result.failed == 0
