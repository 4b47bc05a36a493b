"""The suite itself: what ``make test`` leaves to ``make test-all``."""

from __future__ import annotations

import pytest

from conftest import LONGEST_FIRST
from tests.house.rooms import ROOT
from tests.support import examples


def test_examples_are_all_tried_in_test_all(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert examples.is_all == pytestconfig.getoption("--all")
    monkeypatch.setattr(examples, "is_all", True)
    assert examples.examples(300) == 300
    monkeypatch.setattr(examples, "is_all", False)
    assert (examples.examples(300), examples.examples(25)) == (60, 10)


def test_files_that_run_first_exist() -> None:
    assert [place for place in LONGEST_FIRST if not (ROOT / place).exists()] == []
