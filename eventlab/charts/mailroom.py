"""A figure that shows how many of the mailroom's emails reach each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eventlab.charts import style
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE, YELLOW

#: The states in the order in which an email passes through them, each with its color.
COLOURS: Final = {
    "submitted": BLUE,
    "received": GREEN,
    "submitting": PURPLE,
    "in_doubt": ORANGE,
    "held": YELLOW,
    "refused": "black",
    "skipped": GREY,
}
#: The steps, each with the states of the emails that stop just before the step.
STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "in the inbox": (),
    "for an agent": ("skipped",),
    "accepted by CXone": ("received", "submitting", "in_doubt", "held", "refused"),
}


def funnel(states: Mapping[str, int], *, title: str) -> Figure:
    """Draw how many emails reach each step, and the states of the emails that do not reach it.

    ``states`` maps each state to its number of emails. Raises ValueError for an unknown state.
    """
    unknown = set(states) - set(COLOURS)
    if unknown:
        raise ValueError(f"unknown mail states: {', '.join(sorted(unknown))}")
    total = left = sum(states.values())
    with style.figure(title, height=2.8) as (figure, axes):
        for row, ends in enumerate(STEPS.values()):
            lost = {state: states[state] for state in ends if states.get(state)}
            left -= sum(lost.values())
            axes.barh(row, left, color=BLUE, height=0.62)
            axes.barh(row, sum(lost.values()), left=left, color=ORANGE, height=0.62)
            words = [f"{many:,} {_words(state)}" for state, many in lost.items()]
            lines = [", ".join(words[at : at + 3]) for at in range(0, len(words), 3)]
            axes.text(
                max(total, 1) * 0.012, row, f"{left:,}", color="white", va="center", weight="bold"
            )
            axes.annotate(
                ",\n".join(lines),
                (left + sum(lost.values()), row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_yticks(range(len(STEPS)), list(STEPS))
        axes.set(xlabel="Emails", xlim=(0, max(total, 1) * 1.7), ylim=(len(STEPS) - 0.5, -0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", visible=False)
    return figure


def _words(state: str) -> str:
    return state.replace("_", " ")
