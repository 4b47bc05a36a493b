"""Fixtures of the command line's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlab.sandbox.fakes import Fakes
from eventlab.servers import starter
from eventlab.servers.directories import DATA_VARIABLE
from eventlab.servers.plan import GRACE_VARIABLE
from tests.cli.routes import run


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory for this test; the variable that ``--data`` sets is restored."""
    monkeypatch.setenv(DATA_VARIABLE, os.environ[DATA_VARIABLE])
    monkeypatch.setenv(GRACE_VARIABLE, "0.3")
    directory = tmp_path / "data"
    yield directory
    if directory.exists():
        starter.stop(directory)


@pytest.fixture
def both() -> Iterator[Fakes]:
    """Fake servers with an empty inbox."""
    with Fakes(mails=()) as both:
        yield both


@pytest.fixture
def route(both: Fakes, category: str) -> Any:
    """``eventlab route`` between the fake servers, with its own category and view."""

    def run_route(*words: str, **settings: str) -> tuple[int, str, str]:
        own = ("--category", category, "--collection", category)
        return run("route", *words, *own, **{**both.environment(), **settings})

    return run_route
