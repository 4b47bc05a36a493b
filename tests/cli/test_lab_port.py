"""``eventlab lab --port`` uses that port or fails."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from eventlab.cli import main as cli
from eventlab.cli.lab import FIRST_PAGE
from eventlab.servers import (
    Lab,
)
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize("port", ["99999", "-1", "x"])
def test_lab_rejects_an_impossible_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["lab", "--port", port])
    assert "--port" in capsys.readouterr().err


@pytest.mark.long
def test_lab_uses_the_given_port_or_fails(tmp_path: Path, lab: Lab) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / FIRST_PAGE).touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "eventlab", "lab", "--no-browser", "--port", str(port)]
        with subprocess.Popen(
            command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ
        ) as process:
            try:
                _, output = process.communicate(timeout=PATIENCE_SECONDS)
            finally:
                process.kill()
    assert process.returncode == 1
    assert f"port {port} is already in use" in output


@pytest.mark.long
def test_port_0_of_lab_is_any_free_port(tmp_path: Path, lab: Lab) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / FIRST_PAGE).touch()
    command = [sys.executable, "-m", "eventlab", "lab", "--no-browser", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        try:
            assert process.stderr is not None
            address = r"http://127\.0\.0\.1:(\d+)/lab"
            found = next(filter(None, (re.search(address, line) for line in process.stderr)))
        finally:
            process.terminate()
            process.communicate()
    assert int(found[1]) > 0
