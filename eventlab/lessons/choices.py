"""An exercise without code, in which the reader chooses an answer for each letter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from eventlab.lessons.exercise import Wrong


def choices(
    facts: Mapping[str, tuple[str, str]], options: Sequence[str]
) -> Callable[[object], None]:
    """Return a function that judges an answer: a dict with one of the options for each letter.

    For each letter, ``facts`` has the right option, and a hint for a reader who chose a wrong one.
    """

    def judge(answer: object) -> None:
        if not isinstance(answer, dict) or set(answer) != set(facts):
            letters = ", ".join(f'"{letter}": ...' for letter in facts)
            raise Wrong(f"give a dict with all letters: {{{letters}}}.")
        for letter in facts:
            if answer[letter] not in options:
                allowed = ", ".join(map(repr, options))
                raise Wrong(f"{letter}: {answer[letter]!r} is not one of {allowed}.")
        for letter, (right, reason) in facts.items():
            if answer[letter] != right:
                raise Wrong(f"{letter}: {reason}")

    return judge
