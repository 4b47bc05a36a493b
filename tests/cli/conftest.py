"""Fixtures of the command line's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlab.servers import starter
from eventlab.servers.directories import DATA_VARIABLE
from eventlab.servers.plan import GRACE_VARIABLE


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory of the test's own; the variable that ``--data`` sets is restored."""
    monkeypatch.setenv(DATA_VARIABLE, os.environ[DATA_VARIABLE])
    monkeypatch.setenv(GRACE_VARIABLE, "0.3")
    directory = tmp_path / "data"
    yield directory
    if directory.exists():
        starter.stop(directory)
