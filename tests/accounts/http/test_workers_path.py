"""Worker processes import no module from the working directory."""

from __future__ import annotations

import os
from typing import Any

import pytest
import uvicorn

from eventlab.accounts.http import server


class RecordsPath:
    """Workers that only record what their processes would inherit."""

    found: str | None = None

    def __init__(self, *_: Any) -> None:
        pass

    def run(self) -> None:
        """Record the variable that keeps the working directory off the path."""
        RecordsPath.found = os.environ.get("PYTHONSAFEPATH")


def test_workers_inherit_a_path_without_the_working_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "")  # restored afterwards
    monkeypatch.setattr(server, "Workers", RecordsPath)
    monkeypatch.setattr(server, "_keep_interrupts_from_workers", lambda: None)
    server._run_workers(uvicorn.Config("no:app"), [], None)
    assert RecordsPath.found == "1"
