"""Fixtures of the servers' tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlab.servers import (
    starter,
    state,
)
from eventlab.servers.directories import DATA_VARIABLE
from eventlab.servers.plan import GRACE_VARIABLE
from tests.support.servers import (
    is_alive,
    is_gone,
)
from tests.support.waiting import wait_until

SHORT = 0.3


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory for this test and its child processes, with a short grace time."""
    directory = tmp_path / "data"
    monkeypatch.setenv(DATA_VARIABLE, str(directory))
    monkeypatch.setenv(GRACE_VARIABLE, str(SHORT))
    yield directory
    if directory.exists():
        found = state.read(directory)
        if found is not None and is_alive(found.pids.get("mongod", -1)):
            # A clean stop takes a second, and has tests of its own.
            os.kill(found.pids["mongod"], signal.SIGKILL)
        starter.stop(directory)
        assert found is None or wait_until(lambda: is_gone(found))
