"""Each preloaded module exists; otherwise, the tests would only become slower."""

from __future__ import annotations

import importlib

import pytest

from tests.support.processes import PRELOADED


@pytest.mark.parametrize("name", PRELOADED)
def test_preloaded_module_exists(name: str) -> None:
    importlib.import_module(name)
