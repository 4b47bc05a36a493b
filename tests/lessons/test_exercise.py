"""An exercise tells a reader what their answer did, whatever it raised."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from eventlab.lessons.exercise import Exercise, Note, Wrong


class Speechless(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class SpeechlessWrong(Wrong):
    """A judge's verdict whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class NotText(Exception):
    """An exception whose text is not a string."""

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

    assert repr(exercise().check(answer)).startswith("Not yet: your code raised KeyError, in line")


def limited(judge: Any, seconds: float = 0.2) -> Exercise:
    return Exercise(judge, "it is right", ["one", "two", "three"], "pass", "because", [], seconds)


def written(code: str) -> Any:
    """Return what a piece of code defines last, as a notebook's cell would."""
    names: dict[str, Any] = {}
    exec(code, names)
    return list(names.values())[-1]


ENDLESS = {
    "a loop": "def answer():\n    while True:\n        pass",
    "a wait": "import time\ndef answer():\n    while True:\n        time.sleep(3600)",
    "a loop that catches everything": (
        "def answer():\n    while True:\n        try:\n            x = 1\n"
        "        except:\n            pass"
    ),
    "a loop that retries for ever": (
        "import time\ndef answer():\n    while True:\n        try:\n            1 / 0\n"
        "        except BaseException:\n            time.sleep(0.001)"
    ),
    "a lambda": "answer = lambda: next(x for x in iter(int, 1) if x)",
}


@pytest.mark.parametrize("code", ENDLESS.values(), ids=ENDLESS)
def test_check_stops_an_endless_answer_and_names_the_line(code: str) -> None:
    note = limited(lambda answer: answer()).check(written(code))
    assert note.kind == "Not yet"
    assert "did not finish within 0.2 seconds" in note.text
    assert "stopped in line " in note.text


def test_check_lets_the_judge_clean_up_after_an_endless_answer() -> None:
    steps = []

    def judge(answer: Any) -> None:
        try:
            answer()
        finally:
            steps.extend(str(number) for number in range(300_000))  # longer than an interruption
            steps.append("cleaned up")

    assert limited(judge).check(written(ENDLESS["a loop"])).kind == "Not yet"
    assert steps[-1] == "cleaned up"


JUDGE = """
import signal

def judge(answer):
    signal.pause()  # until the limit has passed
    answer()
"""


def test_check_does_not_interrupt_a_slow_judge_that_the_cell_of_the_answer_calls() -> None:
    names: dict[str, Any] = {}
    exec(compile(JUDGE, "judge.py", "exec"), names)

    def here() -> int:  # in the file that also calls check
        return 1

    assert limited(names["judge"]).check(here).kind == "Right"


def test_check_leaves_no_timer_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    code = written("def answer():\n    x = 1")
    assert limited(lambda answer: answer()).check(code).kind == "Right"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


def test_check_works_without_a_limit_outside_the_main_thread() -> None:
    notes: list[Note] = []
    code = written("def answer():\n    x = 1")
    thread = threading.Thread(
        target=lambda: notes.append(limited(lambda answer: answer()).check(code))
    )
    thread.start()
    thread.join()
    assert [note.kind for note in notes] == ["Right"]


def test_check_gives_the_line_of_an_error_in_the_answer() -> None:
    code = "def helper(data):\n    return data['amount']\n\n\ndef answer():\n    helper({})\n"
    note = limited(lambda answer: answer()).check(written(code))
    assert note.text == "your code raised KeyError: 'amount', in line 2"


def test_check_gives_the_line_of_an_error_that_the_judge_explains() -> None:
    def judge(answer: Any) -> None:
        try:
            answer()
        except KeyError as error:
            raise Wrong("a create has no amount.") from error

    note = limited(judge).check(written("def answer():\n    return {}['amount']"))
    assert note.text == "a create has no amount. (line 2)"


def test_check_gives_the_line_in_a_method_of_a_class() -> None:
    code = "class Answer:\n    def go(self):\n        return self.missing\n"
    note = limited(lambda answer: answer().go()).check(written(code))
    assert note.text.endswith("in line 3")


def test_check_shows_the_source_of_the_line_when_it_is_known(tmp_path: Any) -> None:
    file = tmp_path / "cell.py"
    file.write_text("def answer():\n    return 1 / 0\n")
    names: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    note = limited(lambda answer: answer()).check(names["answer"])
    assert note.text.endswith("ZeroDivisionError: division by zero, in line 2: return 1 / 0")


def test_hint_takes_a_number_and_continues_from_there() -> None:
    one = limited(lambda answer: None)
    assert one.hint(2).text == "2 of 3: two"
    assert one.hint().text == "3 of 3: three"
    assert one.hint(9).text == "3 of 3: three"
    assert one.hint(0).text == "1 of 3: one"


def test_note_colors_no_text() -> None:
    assert "color:" not in Note("Not yet", "a", "b")._repr_html_().replace("border", "")


def test_check_takes_a_class_of_dots_for_not_attempted() -> None:
    one = limited(lambda answer: None)
    assert one.check(written("class Answer:\n    ...")).kind == "Not attempted"
    assert one.check(written("class Answer:\n    def go(self): return ...")).kind == "Not attempted"
    assert one.check(written("class Answer:\n    def go(self): ...")).kind == "Right"


def test_name_of_an_exercise_alone_does_not_reveal_its_answer() -> None:
    exercise = Exercise(
        judge=lambda _answer: None,
        right="so it is",
        hints=["a hint"],
        answer="the answer",
        explanation="an explanation",
        mistakes=["a mistake"],
    )
    assert repr(exercise) == "Exercise: call check(answer), hint() or solution()"


def test_feedback_shows_code_between_backticks_as_code() -> None:
    shown = Note("Hint", "Call `store.read` for <all> ids.")._repr_html_()
    assert "Call <code>store.read</code> for &lt;all&gt; ids." in shown
