"""Figures of projections: errors and rates, events per day, and lag."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from eventlab.charts import style
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE, YELLOW


def ladder(rungs: pd.DataFrame, *, title: str, unit: str = "cents") -> Figure:
    """Compare designs, from top to bottom: the error in money, and the speed of each.

    ``rungs`` has one row per design, indexed by name: ``off`` (the error in ``unit``, negative if
    money is missing) and ``rate`` (events per second). Exact designs are blue.
    """
    with style.figure(title, height=1.7 + 0.6 * len(rungs)) as (figure, whole):
        whole.remove()
        off, rate = figure.subplots(1, 2, sharey=True)
        figure.suptitle(title, x=0.01, ha="left", size=whole.title.get_fontsize(), weight="bold")
        places = range(len(rungs), 0, -1)
        _off(off, list(places), rungs["off"], unit)
        drawn = rate.barh(
            places, rungs["rate"], color=[GREY if money else BLUE for money in rungs["off"]]
        )
        rate.bar_label(drawn, fmt="{:,.0f}", padding=5)
        rate.set(xlabel="Events per second", xlim=(0, rungs["rate"].max() * 1.3))
        rate.tick_params(axis="y", left=False)
        for axes in (off, rate):
            axes.grid(axis="y", visible=False)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return figure


def _off(axes: Axes, places: list[int], money: pd.Series[float], unit: str) -> None:
    axes.barh(places, money, color=ORANGE)
    axes.axvline(0, color=GREY, linewidth=1)
    for place, off in zip(places, money, strict=True):
        side = -1 if off < 0 else 1
        axes.annotate(
            f"{off:+,.0f}" if off else "exact",
            (off, place),
            xytext=(5 * side, 0),
            textcoords="offset points",
            ha="right" if off < 0 else "left",
            va="center",
            color=ORANGE if off else BLUE,
            fontweight="bold",
        )
    room = 0.6 * max(1, money.max() - money.min())
    axes.set_xlim(min(0, money.min()) - room, max(0, money.max()) + room)
    axes.set_yticks(places, list(money.index))
    axes.set_xlabel(f"Error of the sum ({unit})")


def by_day(days: pd.DataFrame, *, title: str, unit: str = "Events") -> Figure:
    """Draw one stacked bar per day, with one part per column.

    ``days`` is indexed by date (UTC) and has up to five columns of whole numbers, such as one per
    event type.
    """
    with style.figure(title) as (figure, axes):
        at = pd.to_datetime(days.index)
        floor = pd.Series(0, index=days.index)
        for name, colour in zip(days.columns, (GREEN, BLUE, ORANGE, PURPLE, YELLOW), strict=False):
            label = f"{name} ({days[name].sum():,.0f})"
            axes.bar(
                at,
                days[name],
                bottom=floor,
                color=colour,
                edgecolor="white",
                linewidth=0.6,
                label=label,
            )
            floor = floor + days[name]
        axes.set(xlabel="Day (UTC)", ylabel=unit, ylim=(0, max(1, floor.max()) * 1.25))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", visible=False)
        axes.legend(ncols=len(days.columns), loc="upper left")
    return figure


def lag(samples: pd.DataFrame, marks: Mapping[str, float], *, title: str) -> Figure:
    """Draw the lag of a view over time, with named moments.

    ``samples`` has one row per sample: ``s`` (seconds of a monotonic clock) and ``events`` (int).
    ``marks`` maps names to seconds of the same clock, in order; the time from the first to the last
    is shaded.
    """
    began = samples["s"].iloc[0]
    top = max(1, samples["events"].max()) * 1.45
    with style.figure(title) as (figure, axes):
        axes.fill_between(
            samples["s"] - began, samples["events"], color=BLUE, alpha=0.15, linewidth=0
        )
        axes.plot(samples["s"] - began, samples["events"], color=BLUE)
        if marks:
            axes.axvspan(
                min(marks.values()) - began,
                max(marks.values()) - began,
                color=ORANGE,
                alpha=0.10,
                linewidth=0,
            )
        for line, (name, at) in enumerate(marks.items(), 1):
            last = line == len(marks)
            axes.axvline(at - began, color=ORANGE, linestyle="--", linewidth=1.5)
            axes.annotate(
                name,
                (at - began, top * (1.06 - 0.09 * line)),
                xytext=(5 if last else -5, 0),
                textcoords="offset points",
                ha="left" if last else "right",
                va="top",
                color=ORANGE,
            )
        axes.set(xlabel="Time (s)", ylabel="Lag (events)", ylim=(0, top))
    return figure
