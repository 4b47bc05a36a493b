"""Figures of consumers: what they have pending, how far they have read, and what they did when."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eventlab.charts import style
from eventlab.charts.frames import frame
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE, YELLOW
from eventlab.events import Recorded
from eventlab.store.keys import order

_COLOURS = (ORANGE, BLUE, PURPLE, YELLOW)
_MARKERS = ("s", "o", "D", "^")


def pending(states: pd.DataFrame, *, title: str) -> Figure:
    """Draw the pending list at several moments: the consumer and delivery count of each event.

    ``states`` has one row per event and moment: ``moment`` and ``event`` (the labels of the axes,
    in the order of their first rows), ``state`` (``new``, ``done``, or the consumer that holds it),
    and ``deliveries`` (int).
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


def timeline(
    events: Iterable[Recorded],
    followers: Mapping[str, str],
    *,
    title: str,
    unfinished: Mapping[str, Collection[str]] | None = None,
) -> Figure:
    """Draw a stream over time, and how far each follower has read.

    ``events`` are in commit order. ``followers`` maps each name to the last position it has passed.
    ``unfinished`` maps a name to the positions of the events that are delivered but not finished.
    """
    table = frame(events)
    with style.figure(title, height=2.4 + 0.55 * len(followers)) as (figure, axes):
        for type, colour, marker in zip(
            table["type"].unique(), (BLUE, GREEN, PURPLE, YELLOW), "ovD^", strict=False
        ):
            of = table["time"][table["type"] == type]
            axes.scatter(
                of,
                [0] * len(of),
                color=colour,
                marker=marker,
                s=50,
                label=f"{type} ({len(of)})",
                zorder=3,
            )
        for row, (name, position) in enumerate(followers.items(), start=1):
            open_ones = set((unfinished or {}).get(name, ()))
            way = pd.Series([table["time"].iloc[0], _time(position)])
            label = "passed" if row == 1 else None
            axes.plot(way, [row, row], color=GREY, linewidth=7, alpha=0.35, label=label, zorder=2)
            axes.scatter(way[1:], [row], color=GREY, marker="|", s=320, linewidth=3, zorder=3)
            held = table["time"][table["position"].isin(open_ones)]
            if len(held):
                axes.scatter(
                    held,
                    [row] * len(held),
                    color=ORANGE,
                    marker="s",
                    s=50,
                    label="not finished",
                    zorder=4,
                )
        names = [f"{name}: {_behind(table, position)} new" for name, position in followers.items()]
        axes.set_yticks(range(len(names) + 1), ["the stream", *names])
        axes.set(ylim=(len(names) + 0.5, -0.5), xlabel="Time of the event (UTC)", ylabel="Follower")
        axes.grid(axis="y", visible=False)
        _legend_below(figure, axes)
    return figure


def shifts(work: pd.DataFrame, kills: Sequence[tuple[str, float]], *, title: str) -> Figure:
    """Draw which consumer processed events when, and when consumers were killed.

    ``work`` has one row per delivery: ``consumer`` (str), ``s`` (seconds since the start), and
    ``again`` (bool: the event was delivered before). ``kills`` lists consumers with the second at
    which each was killed.
    """
    consumers = sorted(work["consumer"].unique())
    row = {name: at for at, name in enumerate(consumers, start=1)}
    with style.figure(title, height=2.2 + 0.6 * len(consumers)) as (figure, axes):
        for again, colour, marker, label in (
            (False, BLUE, "o", "first time"),
            (True, ORANGE, "s", "again"),
        ):
            some = work[work["again"] == again]
            rows = [row[name] for name in some["consumer"]]
            axes.scatter(
                some["s"],
                rows,
                color=colour,
                marker=marker,
                s=34,
                label=f"delivered, {label} ({len(some)})",
                zorder=3,
            )
        rows = [row[name] for name, _ in kills]
        axes.scatter(
            [at for _, at in kills],
            rows,
            color="black",
            marker="x",
            s=130,
            label=f"killed ({len(kills)})",
            zorder=4,
        )
        axes.set_yticks(range(1, len(consumers) + 1), consumers)
        axes.set(
            xlabel="Time since the start (s)", ylabel="Consumer", ylim=(len(consumers) + 0.6, 0.4)
        )
        axes.grid(axis="y", visible=False)
        _legend_below(figure, axes)
    return figure


def _time(position: str) -> pd.Timestamp:
    return pd.to_datetime(int(position.partition("-")[0]), unit="ms", utc=True)


def _behind(table: pd.DataFrame, position: str) -> int:
    return sum(order(text) > order(position) for text in table["position"])


def _legend_below(figure: Figure, axes: Axes) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
