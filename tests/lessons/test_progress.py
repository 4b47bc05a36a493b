"""The progress of a reader: recorded by each check, and replayed for the table."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from eventlab import settings
from eventlab.lessons import progress
from eventlab.lessons.exercise import Exercise
from eventlab.lessons.interactive import WIDGET
from eventlab.lessons.progress import FILE
from eventlab.servers.directories import prepare_data
from tools.notebooks import NOTEBOOKS

sys.path.insert(0, str(NOTEBOOKS))  # where a kernel finds the package `exercises`
PAGE = "01 Append events"
# The package offers a function of that name.
recorded = importlib.import_module("eventlab.lessons.progress")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(settings.DATA, str(tmp_path))
    return tmp_path


@pytest.fixture
def exercise() -> Exercise:
    from exercises import append_events

    found: Exercise = append_events.a_number_or_events
    return found


RIGHT = {"a": "number", "b": "events", "c": "number", "d": "events", "e": "number"}


def test_progress_lists_the_exercises_of_every_page(data: Path) -> None:
    pages = progress().pages
    assert pages[PAGE][:2] == [  # in the order of the page
        "append_events.what_a_stream_checks",
        "append_events.the_wire_format",
    ]
    assert len(pages) == len(list((NOTEBOOKS / "exercises").glob("[a-z]*.py")))
    assert [row[1] for row in progress().rows()] == [f"0 of {len(n)}" for n in pages.values()]


def test_progress_names_the_next_exercise_by_its_heading(data: Path) -> None:
    shown = progress()
    assert shown.titles["append_events.what_a_stream_checks"] == "Exercise 1: what a stream checks"
    assert [title for title in shown.titles.values() if not title.startswith("Exercise ")] == []
    next_ones = [row[2] for row in shown.rows()]
    assert all(title.startswith("Exercise 1: ") for title in next_ones), next_ones


def test_check_records_what_is_right_and_what_was_tried(data: Path, exercise: Exercise) -> None:
    name = "append_events.a_number_or_events"
    exercise.check(...)
    assert name not in progress().results, "the dots are no attempt"
    exercise.check(RIGHT | {"a": "events"})
    assert (progress().results[name], progress().solved(PAGE)) == ("Not yet", [])
    exercise.check(RIGHT)
    exercise.check({})
    assert progress().solved(PAGE) == [name], "once right, always right"
    assert f"1 of {len(progress().pages[PAGE])}" in progress().table()


def test_check_leaves_a_directory_that_the_servers_can_use(data: Path, exercise: Exercise) -> None:
    exercise.check(RIGHT)
    prepare_data(data)  # it refuses a directory with files of others
    assert len(progress().results) == 1


def test_progress_survives_a_line_that_was_cut(data: Path, exercise: Exercise) -> None:
    prepare_data(data)
    (data / FILE).write_text('{"exercise": "append_ev\n[]\n{"exercise": []}\n')
    exercise.check(RIGHT)
    assert len(progress().solved(PAGE)) == 1


def test_check_succeeds_where_nothing_can_be_recorded(
    exercise: Exercise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.DATA, "/dev/null/nowhere")
    assert exercise.check(RIGHT).kind == "Right"
    assert progress().results == {}


def test_progress_is_a_table_without_widgets_and_empty_without_the_pages(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # as if it were not installed
    shown = progress()._repr_mimebundle_()
    assert shown == {"text/plain": repr(progress()), "text/html": progress().table()}
    assert PAGE in shown["text/html"]
    monkeypatch.setattr(recorded, "EXERCISES", "no_exercises_here")
    assert progress().rows() == []


def test_progress_shows_the_same_text_to_every_reader(data: Path, exercise: Exercise) -> None:
    before = progress()._repr_mimebundle_()
    exercise.check(RIGHT)
    after = progress()._repr_mimebundle_()
    assert before.pop(WIDGET) != after.pop(WIDGET)
    assert before == after == {"text/plain": repr(progress())}
