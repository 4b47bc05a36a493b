"""An exercise of a notebook, with its check, hints and solution."""

from __future__ import annotations

import dis
import re
import textwrap
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from eventlab.lessons.answer import TookTooLong, files_of, line_of, time_limit
from eventlab.lessons.progress import record

COLOURS: Final = {
    "Not attempted": "#595959",
    "Not yet": "#D55E00",
    "Right": "#009E73",
    "Hint": "#0072B2",
}


class Wrong(Exception):
    """Raised by a judge for a wrong answer.

    The message names the likely misunderstanding and corrects it.
    """


@dataclass(frozen=True)
class Note:
    """Feedback from an exercise: a kind, a text, and optional code.

    In the text, backticks enclose code.
    """

    kind: str
    text: str
    code: str = ""

    def __repr__(self) -> str:
        return f"{self.kind}: {self.text}" + (f"\n\n{self.code}" if self.code else "")

    def _repr_html_(self) -> str:
        colour = COLOURS.get(self.kind, "#0072B2")
        code = f"<pre style='margin:0.6em 0 0'>{escape(self.code)}</pre>" if self.code else ""
        style = f"border-left:5px solid {colour};padding:0.4em 0.9em"
        # Only the bar is colored. The text keeps the page's color, which is legible in every theme.
        kind = f"<b>{escape(self.kind)}:</b>"
        text = re.sub("`([^`]+)`", r"<code>\1</code>", escape(self.text))
        return f"<div style='{style}'>{kind} {text}{code}</div>"


@dataclass(frozen=True)
class Exercise:
    """An exercise: how to judge an answer, and the feedback to give.

    ``judge`` takes the answer, returns nothing if the answer is right, and raises Wrong otherwise.
    ``right`` is the feedback for a right answer. ``hints`` are shown one at a time. ``answer`` is
    the code of the reference solution, and ``explanation`` explains it. ``mistakes`` holds the
    code of typical wrong answers. The tests pass each mistake to the same judge, and each mistake
    must get its own feedback.

    ``seconds`` is the time limit for an answer. An answer that exceeds it is stopped and reported.

    >>> exercise.check(...)
    Not attempted: replace the dots with your code and run the cell again.
    """

    judge: Callable[[Any], None]
    right: str
    hints: Sequence[str]
    answer: str
    explanation: str
    mistakes: Sequence[str]
    seconds: float = 15.0
    _given: list[int] = field(default_factory=lambda: [0], repr=False)

    def __repr__(self) -> str:
        return "Exercise: call check(answer), hint() or solution()"

    def check(self, answer: Any) -> Note:
        """Judge an answer and return the feedback: not attempted, not yet, or right.

        The result of an attempted answer is recorded for `progress()`.
        """
        if _is_stub(answer):
            return Note("Not attempted", "replace the dots with your code and run the cell again.")
        note = self._judged(answer)
        record(self, note.kind)
        return note

    def _judged(self, answer: Any) -> Note:
        files = files_of(answer)
        try:
            with time_limit(self.seconds, files):
                self.judge(answer)
        except TookTooLong as late:
            return Note("Not yet", str(late))
        except Wrong as wrong:
            return Note("Not yet", _text_of(wrong) + _in_brackets(line_of(wrong.__cause__, files)))
        except Exception as error:  # noqa: BLE001 - readers see whatever their code raises
            text = _text_of(error)
            raised = f"{type(error).__name__}: {text}" if text else type(error).__name__
            line = line_of(error, files)
            where = f", in {line}" if line else ""
            return Note("Not yet", f"your code raised {raised}{where}")
        return Note("Right", self.right)

    def hint(self, number: int | None = None) -> Note:
        """Return the hint with this number or, without a number, the next hint.

        When there are no more hints, the last hint is returned again.
        """
        at = self._given[0] if number is None else number - 1
        at = min(max(at, 0), len(self.hints) - 1)
        self._given[0] = at + 1
        return Note("Hint", f"{at + 1} of {len(self.hints)}: {self.hints[at]}")

    def solution(self) -> Note:
        """Return the reference solution with its explanation."""
        return Note("Solution", self.explanation, textwrap.dedent(self.answer).strip())


def _in_brackets(where: str) -> str:
    return f" ({where})" if where else ""


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the reader's own exception may fail to describe itself
        return "(its own text cannot be shown: its __str__ failed)"


def _is_stub(answer: Any) -> bool:
    if isinstance(answer, type):  # without methods, or with methods that return the dots
        parts = vars(answer).values()
        return all(_steps(part) == [...] for part in parts if isinstance(part, types.FunctionType))
    if not isinstance(answer, types.FunctionType):
        return answer is ...
    # The function does nothing except return the dots or None.
    return _steps(answer) in ([None], [...])


def _steps(function: types.FunctionType) -> list[object]:
    """Return the operand of each instruction, except for instructions that every function has."""
    nothing = ("RESUME", "NOP", "RETURN_VALUE")
    return [step.argval for step in dis.get_instructions(function) if step.opname not in nothing]
