"""An exercise tells a reader what their answer did, whatever it raised."""

from __future__ import annotations

from typing import Any

import pytest

from eventlab.lessons.exercise import Exercise, Wrong


class Speechless(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class SpeechlessWrong(Wrong):
    """A judge's verdict whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class NotText(Exception):
    """An exception whose text is no text."""

    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


def exercise() -> Exercise:
    def judge(answer: Any) -> None:
        answer()

    return Exercise(judge, "it is right", ["try"], "pass", "because", [])


@pytest.mark.parametrize("error", [Speechless(), SpeechlessWrong(), NotText()])
def test_check_survives_an_exception_without_a_text(error: Exception) -> None:
    def answer() -> None:
        raise error

    note = exercise().check(answer)
    assert note.kind == "Not yet"
    assert "its own text cannot be shown" in repr(note)


def test_check_shows_the_type_alone_when_the_text_is_empty() -> None:
    def answer() -> None:
        raise KeyError

    assert repr(exercise().check(answer)) == "Not yet: your code raised KeyError"
