"""``eventlab lab`` opens a copy, keeps the reader's work, and refreshes the rest of the course."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from eventlab.cli import lab as command
from eventlab.cli import lab_copy, main
from eventlab.cli.lab_copy import copy_of
from eventlab.servers import Lab, directories
from eventlab.servers.errors import DirectoryRefused

COURSE = Path(__file__).resolve().parents[2] / "notebooks"
FIRST, PICTURE = command.FIRST_PAGE, "pictures/append.svg"


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder that a reader sees."""
    return {name: (folder / name).read_bytes() for name in lab_copy._files(folder)}


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A small course, as in a clone."""
    folder = tmp_path / "clone" / "notebooks"
    (folder / "pictures").mkdir(parents=True)
    (folder / FIRST).write_text("one")
    (folder / "01_more.ipynb").write_text("two")
    (folder / PICTURE).write_text("<svg/>")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory, whose name needs quoting in a shell."""
    return tmp_path / "my data"


def test_copy_has_every_file_of_the_course(folder: Path) -> None:
    clutter = COURSE / "exercises" / "__pycache__"
    copy = copy_of(COURSE, folder)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "."], cwd=COURSE, capture_output=True, text=True, check=False
    ).stdout
    assert copy.path == folder / "notebooks"
    assert files(copy.path) == files(COURSE)
    assert set(filter(None, listed.split("\0"))) <= set(files(copy.path))
    assert not (copy.path / clutter.relative_to(COURSE)).exists()


def test_copy_keeps_the_work_of_its_reader(course: Path, folder: Path) -> None:
    page = copy_of(course, folder).path / FIRST
    page.write_text("my answers")
    (page.parent / "mine.ipynb").write_text("notes")
    assert copy_of(course, folder).outdated == []
    assert (page.read_text(), (page.parent / "mine.ipynb").read_text()) == ("my answers", "notes")


def test_copy_keeps_a_changed_page_that_has_a_newer_version_and_reports_it(
    course: Path, folder: Path
) -> None:
    page = copy_of(course, folder).path / FIRST
    page.write_text("my answers")
    (course / FIRST).write_text("a newer page")
    for _ in range(2):
        again = copy_of(course, folder)
        assert (again.outdated, page.read_text()) == ([FIRST], "my answers")
        kept = f"keeps your version of {FIRST}, although the course has a newer version"
        assert kept in str(again)


def test_copy_refreshes_what_its_reader_never_changed(course: Path, folder: Path) -> None:
    copy = copy_of(course, folder).path
    (course / FIRST).write_text("a newer page")
    (course / PICTURE).write_text("<svg>newer</svg>")
    (course / "02_new.ipynb").write_text("new")
    (course / "01_more.ipynb").unlink()
    (copy / "01_more.ipynb").chmod(0o400)
    assert copy_of(course, folder).outdated == []
    assert files(copy) == files(course)


def test_copy_keeps_a_changed_page_that_has_left_the_course(course: Path, folder: Path) -> None:
    page = copy_of(course, folder).path / "01_more.ipynb"
    page.write_text("my answers")
    (course / page.name).unlink()
    copy_of(course, folder)
    assert copy_of(course, folder).outdated == []
    assert page.read_text() == "my answers"


def test_copy_replaces_a_page_that_its_reader_deleted(course: Path, folder: Path) -> None:
    page = copy_of(course, folder).path / FIRST
    page.unlink()
    copy_of(course, folder)
    assert page.read_text() == "one"


@pytest.mark.parametrize("note", [None, "", "{", "[]"])
def test_copy_without_its_note_keeps_every_difference(
    course: Path, folder: Path, note: str | None
) -> None:
    copy = copy_of(course, folder).path
    (copy / FIRST).write_text("my answers")
    (copy / lab_copy.NOTE).unlink()
    if note is not None:
        (copy / lab_copy.NOTE).write_text(note)
    assert copy_of(course, folder).outdated == [FIRST]
    assert (copy / FIRST).read_text() == "my answers"


def test_crash_before_the_note_is_written_loses_no_work(
    course: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copy_of(course, folder).path
    (copy / "01_more.ipynb").write_text("my answers")
    (course / FIRST).write_text("a newer page")
    with monkeypatch.context() as crash:
        crash.setattr("json.dumps", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            copy_of(course, folder)
    assert copy_of(course, folder).outdated == []
    assert (copy / FIRST).read_text() == "a newer page"
    assert (copy / "01_more.ipynb").read_text() == "my answers"


def test_fresh_copy_moves_the_old_one_aside(course: Path, folder: Path) -> None:
    assert copy_of(course, folder, fresh=True).aside is None
    names = []
    for number in range(3):
        (folder / "notebooks" / FIRST).write_text(f"answers {number}")
        copy = copy_of(course, folder, fresh=True)
        assert copy.aside is not None
        assert (copy.aside / FIRST).read_text() == f"answers {number}"
        assert files(copy.path) == files(course)
        assert str(copy.aside) in str(copy)
        names.append(copy.aside.name)
    assert names[0].startswith(f"notebooks-{date.today().year}-")
    assert len(set(names)) == 3


def test_copy_of_a_read_only_installation_can_be_changed(course: Path, folder: Path) -> None:
    (course / "pictures").chmod(0o500)
    course.chmod(0o500)
    for name in files(course):
        (course / name).chmod(0o400)
    try:
        copy = copy_of(course, folder).path
        assert {(copy / name).stat().st_mode & 0o600 for name in files(copy)} == {0o600}
        assert {path.stat().st_mode & 0o700 for path in (copy, copy / "pictures")} == {0o700}
    finally:
        for path in (course, course / "pictures"):
            path.chmod(0o700)


def test_two_labs_at_once_make_one_copy(
    course: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most, together = [0], [0], threading.Barrier(4)
    refresh = lab_copy._refresh

    def counted(*paths: Path) -> list[str]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        try:
            return refresh(*paths)
        finally:
            inside[0] -= 1

    def start() -> None:
        together.wait()
        copy_of(course, folder)

    directories.prepare_data(folder)  # it tells processes apart, not threads
    monkeypatch.setattr(lab_copy, "_refresh", counted)
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert files(folder / "notebooks") == files(course)


def test_lab_that_is_started_in_the_copy_opens_it(course: Path, folder: Path) -> None:
    copy = copy_of(course, folder).path
    (copy / FIRST).write_text("my answers")
    assert copy_of(copy, folder, fresh=True).path == copy
    assert (copy / FIRST).read_text() == "my answers"


def test_copy_that_cannot_be_written_names_the_variable_to_set(course: Path, folder: Path) -> None:
    directories.prepare_data(folder)
    (folder / "notebooks").write_text("a file")
    with pytest.raises(DirectoryRefused, match=r"cannot be used .* set EVENTLAB_DATA"):
        copy_of(course, folder)


# ------------------------------------------------------------------------------------- the command


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, course: Path) -> Iterator[list[Path]]:
    """The folders that the command opens, in place of JupyterLab."""
    found: list[Path] = []

    def jupyter(notebooks: Path, _arguments: object) -> list[str]:
        found.append(notebooks)
        return [sys.executable, "-c", ""]

    monkeypatch.setattr(command, "_jupyter", jupyter)
    monkeypatch.chdir(course.parent)
    return found


def test_lab_opens_the_copy_and_prints_where_it_is(
    opened: list[Path], lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = directories.data_directory() / "notebooks"
    assert main.main(["lab"]) == 0
    assert opened == [copy]
    assert capsys.readouterr().out == (
        f"notebooks: {copy} is your copy; for a fresh copy, run eventlab lab --fresh\n"
    )
    assert main.main(["lab", "--fresh"]) == 0
    assert f"notebooks: {copy} is a fresh copy; your old one is {copy}-" in capsys.readouterr().out


def test_lab_in_place_opens_the_notebooks_themselves(
    opened: list[Path], course: Path, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["lab", "--in-place"]) == 0
    assert (opened, capsys.readouterr().out) == ([course], "")


def test_lab_rejects_a_fresh_copy_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(["lab", "--in-place", "--fresh"])
    assert "not allowed with" in capsys.readouterr().err


PROGRESS = """
from exercises.replay_aggregates import *
from eventlab.lessons import progress
print(*progress().pages, sep="\\n")
"""


def test_exercises_of_the_copy_are_found_and_counted(folder: Path) -> None:
    """A kernel runs in the folder of its page, which is on its path."""
    copy = copy_of(COURSE, folder).path
    done = subprocess.run(
        [sys.executable, "-c", PROGRESS], cwd=copy, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) >= 12
