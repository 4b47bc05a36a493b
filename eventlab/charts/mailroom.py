"""Figures of the mailroom: mails per step, time in each state, and senders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eventlab.charts import style
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE, YELLOW
from eventlab.charts.timing import waits
from eventlab.events import Recorded
from eventlab.mailroom.mail_view import STATES

#: The states in the order in which a mail passes through them, each with its color.
COLOURS: Final = {
    "submitted": BLUE,
    "received": GREEN,
    "submitting": PURPLE,
    "in_doubt": ORANGE,
    "held": YELLOW,
    "refused": "black",
    "skipped": GREY,
}
#: The steps, each with the states of the mails that reach the step before it and not this one.
STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "in the inbox": (),
    "for an agent": ("skipped",),
    "accepted by CXone": ("received", "submitting", "in_doubt", "held", "refused"),
}


def funnel(states: Mapping[str, int], *, title: str) -> Figure:
    """Draw how many mails reach each step, and the states of the others.

    ``states`` maps each state to its number of mails. Raises ValueError for an unknown state.
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
        axes.set(xlabel="Mails", xlim=(0, max(total, 1) * 1.7), ylim=(len(STEPS) - 0.5, -0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", visible=False)
    return figure


def stays(events: Iterable[Recorded], *, title: str) -> Figure:
    """Draw how long each mail was in each state, in seconds, one dot per stay.

    ``events`` are those of a mailroom's category, in commit order. The current state of a mail has
    not ended, so it has no dot.
    """
    since: dict[str, tuple[str, Recorded]] = {}
    seconds: dict[str, list[float]] = {}
    for event in events:
        state = STATES.get(event.type)
        if state is None:  # the mailbox's cursor or a late response: no mail changes its state
            continue
        if event.id in since:
            before, entered = since[event.id]
            seconds.setdefault(before, []).append(
                max((event.time - entered.time).total_seconds(), 0.001)
            )
        since[event.id] = state, event
    named = {_words(state): seconds[state] for state in ("received", *COLOURS) if state in seconds}
    figure = waits(named, title=title, ours="submitting")
    figure.axes[0].set_xlabel("Time in the state")
    return figure


def by_sender(mails: pd.DataFrame, *, title: str, most: int = 8) -> Figure:
    """Draw the mails of each sender domain by state, busiest first; the rest share one bar.

    ``mails`` has one row per mail: ``domain`` (str, empty or missing if unknown) and ``state``.
    """
    domains = mails["domain"].fillna("").replace("", "(unknown)")
    count = pd.crosstab(domains, mails["state"])
    ordered = count.loc[count.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    table = ordered.iloc[:most].copy()
    if len(ordered) > most:
        table.loc[f"{len(ordered) - most} others"] = ordered.iloc[most:].sum()
    with style.figure(title, height=1.9 + 0.42 * len(table)) as (figure, axes):
        floor = pd.Series(0, index=table.index)
        rows = range(len(table))
        for state in [state for state in COLOURS if state in table]:
            label = f"{_words(state)} ({table[state].sum():,})"
            axes.barh(
                rows, table[state], left=floor, color=COLOURS[state], edgecolor="white", label=label
            )
            floor = floor + table[state]
        for row, many in zip(rows, floor, strict=True):
            axes.annotate(
                f"{many:,}", (many, row), xytext=(5, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(rows, list(table.index))
        axes.set(xlabel="Mails", ylim=(len(table) - 0.4, -0.6), xlim=(0, floor.max() * 1.12))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", visible=False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _words(state: str) -> str:
    return state.replace("_", " ")
