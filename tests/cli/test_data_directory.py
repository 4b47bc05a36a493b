"""The command line names a data directory that cannot be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_command_line_names_a_data_directory_that_is_a_file(tmp_path: Path, data: Path) -> None:
    (tmp_path / "letter.txt").touch()
    command = [
        sys.executable,
        "-m",
        "eventlab",
        "project",
        "--status",
        "--data",
        str(tmp_path / "letter.txt"),
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("eventlab: ")
    assert "Traceback" not in done.stderr
