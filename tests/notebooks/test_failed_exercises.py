"""Each notebook runs to its end with every exercise failed; a separate file runs in parallel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks.test_exercises import EVERY_PAGE, feedback


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda path: path.stem)
def test_notebook_runs_with_every_exercise_failed(path: Path) -> None:
    shown, kinds = feedback(path, 0)
    assert shown == kinds
    assert len(kinds) >= 2
