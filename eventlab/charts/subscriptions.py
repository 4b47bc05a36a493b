"""A figure that shows the pending events of consumers."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from eventlab.charts import style
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE, YELLOW

_COLOURS = (ORANGE, BLUE, PURPLE, YELLOW)
_MARKERS = ("s", "o", "D", "^")


def pending(states: pd.DataFrame, *, title: str) -> Figure:
    """Draw which consumer holds each event at several moments, with the delivery counts.

    ``states`` has one row per event and moment: ``moment`` and ``event`` (the labels of the axes,
    in the order in which the rows first mention them), ``state`` (``new``, ``done``, or the name of
    the consumer that holds the event), and ``deliveries`` (int).
    """
    moments, events = states["moment"].unique(), states["event"].unique()
    column = {moment: at for at, moment in enumerate(moments)}
    row = {event: at for at, event in enumerate(events)}
    holders = [state for state in states["state"].unique() if state not in ("new", "done")]
    with style.figure(title, height=1.9 + 0.42 * len(events)) as (figure, axes):
        for holder, colour, marker in zip(holders, _COLOURS, _MARKERS, strict=False):
            held = states[states["state"] == holder]
            at = (
                [column[moment] for moment in held["moment"]],
                [row[event] for event in held["event"]],
            )
            axes.scatter(
                *at, color=colour, marker=marker, s=330, label=f"held by {holder}", zorder=3
            )
            for x, y, deliveries in zip(*at, held["deliveries"], strict=True):
                axes.text(
                    x,
                    y,
                    f"{deliveries}×",
                    color="white",
                    ha="center",
                    va="center",
                    weight="bold",
                    size=10,
                    zorder=4,
                )
        for state, marker, label in (("new", "_", "not delivered yet"), ("done", "D", "acked")):
            some = states[states["state"] == state]
            at = (
                [column[moment] for moment in some["moment"]],
                [row[event] for event in some["event"]],
            )
            axes.scatter(
                *at,
                color=GREY if state == "new" else GREEN,
                marker=marker,
                s=90,
                label=label,
                zorder=3,
            )
        axes.set_xticks(range(len(moments)), moments)
        axes.set_yticks(range(len(events)), events)
        axes.set(
            xlim=(-0.5, len(moments) - 0.5),
            ylim=(len(events) - 0.4, -0.6),
            xlabel="Moment",
            ylabel="Event",
        )
        axes.grid(axis="x", visible=False)
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, markerscale=0.6
        )
    return figure
