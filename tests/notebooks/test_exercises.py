"""Exercises judge answers correctly, and each notebook runs with them solved."""

from __future__ import annotations

import copy
import importlib
import re
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from eventlab import Aggregate
from eventlab.lessons.exercise import Exercise, Note
from eventlab.lessons.little_store import UnfinishedStore
from tools.notebooks import NOTEBOOKS, run_together

sys.path.insert(0, str(NOTEBOOKS))  # where a kernel finds the package `exercises`

PAGES = sorted(path.stem for path in (NOTEBOOKS / "exercises").glob("[a-z]*.py"))


def exercises(page: str) -> dict[str, Exercise]:
    module = importlib.import_module(f"exercises.{page}")
    return {name: value for name, value in vars(module).items() if isinstance(value, Exercise)}


ALL = {f"{page}.{name}": exercise for page in PAGES for name, exercise in exercises(page).items()}


def answer(code: str) -> Any:
    """Return what a piece of code defines last, which is the answer."""
    names: dict[str, Any] = {}
    exec(textwrap.dedent(code), names)
    return list(names.values())[-1]


@pytest.mark.parametrize("name", ALL)
def test_exercise_accepts_its_solution_and_explains_every_foreseen_mistake(
    name: str, lab: Any
) -> None:
    exercise = ALL[name]
    assert exercise.check(answer(exercise.answer)) == Note("Right", exercise.right)
    notes = [exercise.check(answer(mistake)) for mistake in exercise.mistakes]
    assert [note.kind for note in notes] == ["Not yet"] * len(notes)
    assert len(notes) >= 2
    assert len({note.text for note in notes}) == len(notes), "two mistakes get the same feedback"
    assert exercise.check(...).kind == "Not attempted"


#: Exercises whose answer is a choice, such as a dict, and not code.
CHOICES = {name for name, exercise in ALL.items() if not callable(answer(exercise.answer))}


def endless(*args: Any, **options: Any) -> None:
    """Loop, like an answer that waits for something that never happens."""
    while True:
        pass


class EndlessAggregate(Aggregate):
    """An aggregate that never ends a command."""

    reader = None
    funds = 0
    lend = give_back = deposit = reverse = endless

    def apply(self, event: Any) -> None:
        """Loop."""
        endless()


class EndlessStore(UnfinishedStore):
    """A store that never ends an append."""

    def write(self, *args: Any) -> Any:
        """Loop."""
        endless()


@pytest.mark.parametrize("name", sorted(ALL.keys() - CHOICES))
def test_exercise_stops_an_endless_answer(name: str, lab: Any) -> None:
    right = answer(ALL[name].answer)
    endless_answer: Any = endless
    if isinstance(right, type):
        endless_answer = EndlessStore if issubclass(right, UnfinishedStore) else EndlessAggregate
    note = replace(ALL[name], seconds=0.5).check(endless_answer)
    assert note.kind == "Not yet"
    assert "did not finish within 0.5 seconds, and was stopped in line" in note.text


def test_check_distinguishes_not_attempted_wrong_and_right() -> None:
    def stub(x: int) -> int:
        """Not yet written."""
        ...

    def dots(x: int) -> int:
        return ...

    exercise = Exercise(
        judge=lambda f: f(1),
        right="yes",
        hints=["a", "b"],
        answer="x = 1",
        explanation="",
        mistakes=[],
    )
    assert (
        exercise.check(stub).kind
        == exercise.check(dots).kind
        == exercise.check(...).kind
        == "Not attempted"
    )
    raised = exercise.check(lambda x: 1 / 0).text
    assert raised.startswith("your code raised ZeroDivisionError: division by zero, in line")
    assert exercise.check(lambda x: x).kind == "Right"
    assert [exercise.hint().text for _ in range(3)] == ["1 of 2: a", "2 of 2: b", "2 of 2: b"]
    assert exercise.solution().code == "x = 1"


def test_note_escapes_html() -> None:
    assert "<script>" not in Note("Not yet", "<script>", "<script>")._repr_html_()


def filled(path: Path, number: int | None) -> tuple[Any, list[str]]:
    """Return a copy of a notebook whose stubs are replaced, and the expected kinds of feedback.

    The replacements are the solutions, or each exercise's foreseen mistake of that number.
    """
    notebook = copy.deepcopy(nbformat.read(path, 4))
    kinds = []
    for cell in notebook.cells:
        if "exercise" in cell.metadata.get("tags", []):
            page, name = re.search(r"from exercises\.(\w+) import (\w+)", cell.source).groups()
            exercise = exercises(page)[name]
            code = (
                exercise.answer
                if number is None
                else exercise.mistakes[number % len(exercise.mistakes)]
            )
            head, tail = cell.source.split("\n")[0], cell.source.split("\n")[-1]
            assert tail.startswith(f"{name}.check("), (
                f"{path.name}: an exercise cell ends with its check"
            )
            cell.source = "\n".join([head, textwrap.dedent(code), tail])
            kinds.append("Right" if number is None else "Not yet")
    return notebook, kinds


NOTEBOOKS_WITH_EXERCISES = [
    path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if '"exercise"' in path.read_text("utf-8")
]


FIRST, *OTHERS = NOTEBOOKS_WITH_EXERCISES
EVERY_PAGE = [FIRST, *(pytest.param(path, marks=pytest.mark.pages) for path in OTHERS)]


def feedback(path: Path, number: int | None) -> tuple[list[str], list[str]]:
    """Run a page whose exercises are filled; return the kinds of its feedback, and the expected."""
    notebook, kinds = filled(path, number)
    [notebook] = run_together([notebook])
    shown = [
        output["data"]["text/plain"].split(":")[0]
        for cell in notebook.cells
        if "exercise" in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    return shown, kinds


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda path: path.stem)
def test_notebook_runs_with_every_exercise_solved(path: Path) -> None:
    shown, kinds = feedback(path, None)
    assert shown == kinds
    assert len(kinds) >= 2


def test_bridge_may_record_all_intents_before_it_posts() -> None:
    """As the router does, which waits for the disk once for several mails."""
    bridge = answer(
        """
        def bridge(ids, log, post):
            new = [id for id in ids if ("sending", id) not in log]
            log.extend(("sending", id) for id in new)
            for id in new:
                post(id)
                log.append(("sent", id))
            return [id for id in ids if ("sent", id) not in log]
        """
    )
    assert ALL["gmail_to_workitem.a_bridge_with_a_memory"].check(bridge).kind == "Right"
