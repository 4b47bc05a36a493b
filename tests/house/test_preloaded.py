"""The modules that the tests' processes share exist: a missing one would only make them slow."""

from __future__ import annotations

import importlib

import pytest

from tests.support.processes import PRELOADED


@pytest.mark.parametrize("name", PRELOADED)
def test_preloaded_module_exists(name: str) -> None:
    importlib.import_module(name)
