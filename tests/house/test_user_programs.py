"""A user's own programs run, and mypy accepts them in strict mode."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventlab import EventStore
from eventlab.servers import Lab
from tests.house.user.programs import (
    PRINTS,
    readme_example,
    starter_commands,
    write_programs,
    write_starter,
    write_typed_aggregate,
    write_typed_door,
)
from tests.support.waiting import wait_until

BAD_CALL = "from eventlab import EventStore, connect\nEventStore(connect().redis, 1)\n"


def mypy(folder: Path, files: Sequence[Path]) -> tuple[int, str]:
    """Check files as a user would: elsewhere, strictly, with eventlab as an installed package."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache")]
    done = subprocess.run(
        [*command, *map(str, files)], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


@pytest.mark.long
def test_mypy_accepts_the_programs_of_a_user(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD_CALL)
    programs = [*write_programs(tmp_path), *write_starter(tmp_path)]
    programs += [write_typed_aggregate(tmp_path), write_typed_door(tmp_path)]
    status, output = mypy(tmp_path, [*programs, tmp_path / "bad.py"])
    problems = [line for line in output.splitlines() if ": error:" in line]
    # Only the bad call is found, which shows that mypy reads the types of the package.
    assert status == 1
    assert len(problems) == 1
    assert problems[0].startswith("bad.py:2: error: Argument 2 to ")


@contextmanager
def started(folder: Path, output: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python in a folder until the end of the block; what it prints goes to a file."""
    with (
        output.open("wb") as file,
        subprocess.Popen([sys.executable, *words], cwd=folder, stdout=file) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder to its end."""
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("name", PRINTS)
def test_program_of_a_user_runs(name: str, tmp_path: Path) -> None:
    write_programs(tmp_path)
    done = python(tmp_path, name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == PRINTS[name]


@pytest.mark.usefixtures("lab")
def test_readme_example_ends_with_the_document_that_it_shows(tmp_path: Path) -> None:
    body, _, last = readme_example().rstrip().rpartition("\n")
    expression, _, shown = last.partition("  # ")
    assert shown == "{'_id': 'JohnDoe', 'funds': 100, ...}"
    (tmp_path / "example.py").write_text(f"{body}\nprint({expression})\n")
    done = python(tmp_path, "example.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{'_id': 'JohnDoe', 'funds': 100, ")


def test_starter_passes_its_own_tests_and_leaves_nothing(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a reader has no plugins either
    write_starter(tmp_path)
    done = python(tmp_path, "-m", "pytest", "-q")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("4 passed in ")
    names = {each["_id"] for each in lab.mongo["projections"].find({}, {"_id": 1})}
    names.update(lab.mongo.list_collection_names())
    assert not [name for name in names if re.fullmatch(r"test_[0-9a-f]{32}", name)]


def test_starter_prints_what_its_page_shows(lab: Lab, tmp_path: Path) -> None:
    write_starter(tmp_path)
    *bookings, (words, letter) = starter_commands()
    sent = tmp_path / "sent"
    with (
        started(tmp_path, sent, "-u", *words) as letters,
        started(tmp_path, tmp_path / "nothing", "main.py", "view") as view,
    ):
        for words, output in bookings:
            done = python(tmp_path, *words)
            assert (done.returncode, done.stdout, done.stderr.strip()) == (bool(output), "", output)
        wait_until(lambda: sent.read_text().endswith("\n"))
        assert sent.read_text() == f"{letter}\n"
        wait_until(lambda: lab.mongo["bookings"].find_one({"room": "blue", "guest": "Ann"}))
    assert (letters.returncode, view.returncode) == (0, 0)

    EventStore(lab.redis, "rooms").drop()
    lab.mongo.drop_collection("bookings")
    lab.mongo["projections"].delete_one({"_id": "bookings"})
