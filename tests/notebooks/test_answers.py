"""Answers that the exercises' authors did not foresee are judged rightly, page by page.

The answers of a page are in `answers/`, in a file of the page's name: right ones in another style,
and wrong ones, each with a part of the text that its writer must read.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from eventlab.lessons.exercise import Note
from tests.notebooks.test_exercises import ALL, answer

#: What an answer is told that never ends: the test need not wait as long as a reader may.
ENDLESS = "did not finish within"

PAGES = [
    importlib.import_module(f"tests.notebooks.answers.{path.stem}")
    for path in sorted((Path(__file__).parent / "answers").glob("[a-z]*.py"))
]


def cases(kind: str) -> list[Any]:
    """Return each answer of a kind, with the name of its exercise."""
    return [
        pytest.param(name, found, id=f"{name}-{number}")
        for page in PAGES
        for exercise, answers in getattr(page, kind).items()
        for name in [f"{page.__name__.rpartition('.')[2]}.{exercise}"]
        for number, found in enumerate(answers)
    ]


@pytest.mark.parametrize(("name", "code"), cases("RIGHT"))
def test_exercise_accepts_a_right_answer_in_another_style(name: str, code: str, lab: Any) -> None:
    assert ALL[name].check(answer(code)) == Note("Right", ALL[name].right)


@pytest.mark.parametrize(("name", "wrong"), cases("WRONG"))
def test_exercise_explains_a_wrong_answer_that_nobody_foresaw(
    name: str, wrong: tuple[str, str], lab: Any
) -> None:
    code, told = wrong
    exercise = replace(ALL[name], seconds=3.0) if told == ENDLESS else ALL[name]
    note = exercise.check(answer(code))
    assert note.kind == "Not yet"
    assert told in note.text


CHOICES = {
    "append_events.what_a_stream_checks": ("accepts", "rejects"),
    "append_events.a_number_or_events": ("number", "events"),
    "version_conflicts.what_next": ("repeat", "decide again", "stop"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice_has_one_right_answer(name: str) -> None:
    letters = answer(ALL[name].answer)
    notes = [
        ALL[name].check(dict(zip(letters, chosen, strict=True))).kind
        for chosen in product(CHOICES[name], repeat=len(letters))
    ]
    assert notes.count("Right") == 1
    assert set(notes) == {"Right", "Not yet"}


def test_two_orders_of_twenty_are_right() -> None:
    exercise = ALL["version_conflicts.an_order_that_is_right"]
    orders = ["".join(order) for order in product("AB", repeat=6)]
    assert [order for order in orders if exercise.check(order).kind == "Right"] == [
        "AAABBB",
        "BBBAAA",
    ]
