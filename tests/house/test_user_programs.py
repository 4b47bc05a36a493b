"""A user's own programs run, and mypy accepts them in strict mode."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.house.user.programs import PRINTS, readme_example, write_programs

BAD_CALL = "from eventlab import EventStore, connect\nEventStore(connect().redis, 1)\n"


def mypy(folder: Path, files: Sequence[Path]) -> tuple[int, str]:
    """Check files as a user would: elsewhere, strictly, with eventlab as an installed package."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache")]
    done = subprocess.run(
        [*command, *map(str, files)], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_mypy_accepts_the_programs_of_a_user(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD_CALL)
    status, output = mypy(tmp_path, [*write_programs(tmp_path), tmp_path / "bad.py"])
    problems = [line for line in output.splitlines() if ": error:" in line]
    # Only the bad call is found, which shows that mypy reads the types of the package.
    assert status == 1
    assert len(problems) == 1
    assert problems[0].startswith("bad.py:2: error: Argument 2 to ")


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("name", PRINTS)
def test_program_of_a_user_runs(name: str, tmp_path: Path) -> None:
    write_programs(tmp_path)
    done = subprocess.run(
        [sys.executable, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == PRINTS[name]


@pytest.mark.usefixtures("lab")
def test_readme_example_ends_with_the_document_that_it_shows(tmp_path: Path) -> None:
    body, _, last = readme_example().rstrip().rpartition("\n")
    expression, _, shown = last.partition("  # ")
    assert shown == "{'_id': 'JohnDoe', 'funds': 100, ...}"
    (tmp_path / "example.py").write_text(f"{body}\nprint({expression})\n")
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{'_id': 'JohnDoe', 'funds': 100, ")
