"""Figures of measurements: races, rates, growth, and distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from eventlab.charts import style
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE


def race(attempts: pd.DataFrame, *, title: str) -> Figure:
    """Draw the attempts of several writers over time: stored, or a conflict.

    ``attempts`` has one row per attempt: ``writer`` (int, from 0), ``ms`` (milliseconds since the
    start), and ``won`` (bool).
    """
    with style.figure(title) as (figure, axes):
        for won, colour, marker, label in (
            (False, ORANGE, "x", "conflict"),
            (True, BLUE, "o", "stored"),
        ):
            some = attempts[attempts["won"] == won]
            axes.scatter(
                some["ms"],
                some["writer"] + 1,
                color=colour,
                marker=marker,
                s=34,
                label=f"{label} ({len(some)})",
                zorder=3,
            )
        writers = int(attempts["writer"].max()) + 1
        axes.set(xlabel="Time since the start (ms)", ylabel="Writer", ylim=(writers + 1.6, 0.4))
        axes.set_yticks(range(1, writers + 1))
        axes.grid(axis="x", visible=False)
        axes.legend(ncols=2, loc="lower left")
    return figure


def bars(values: Mapping[str, float], *, title: str, unit: str, ours: str = "") -> Figure:
    """Draw one horizontal bar per value, longest on top; ``ours`` is blue."""
    ways = sorted(values, key=lambda way: values[way])
    with style.figure(title, height=1.4 + 0.55 * len(ways)) as (figure, axes):
        drawn = axes.barh(
            range(len(ways)),
            [values[way] for way in ways],
            color=[BLUE if way == ours else GREY for way in ways],
        )
        axes.bar_label(drawn, fmt="{:,.0f}", padding=5)
        axes.set_xlabel(unit)
        axes.set_xlim(0, max(values.values()) * 1.15)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_yticks(range(len(ways)), ways)
        axes.grid(axis="y", visible=False)
    return figure


def growth(table: pd.DataFrame, *, title: str, xlabel: str, ylabel: str, ours: str) -> Figure:
    """Draw how each column grows with the index, on logarithmic axes; ``ours`` is blue."""
    styles = [(ORANGE, "s"), (GREEN, "D"), (PURPLE, "v"), (GREY, "x")]
    with style.figure(title) as (figure, axes):
        for name in table.columns:
            colour, marker = (BLUE, "o") if name == ours else styles.pop(0)
            axes.plot(
                table.index, table[name], color=colour, marker=marker, markersize=8, label=name
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        number = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.xaxis.set_major_formatter(number)
        axes.yaxis.set_major_formatter(number)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.legend()
    return figure


def shares(values: Mapping[str, Sequence[float]], *, title: str, unit: str) -> Figure:
    """Draw the cumulative distribution of each set of values, on a logarithmic x axis."""
    with style.figure(title) as (figure, axes):
        for (name, some), colour in zip(
            values.items(), (BLUE, ORANGE, GREEN, PURPLE), strict=False
        ):
            axes.ecdf(some, color=colour, label=f"{name} (median: {pd.Series(some).median():,.1f})")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.set(xlabel=unit, ylabel="Share of the requests", ylim=(0, 1.02))
        axes.legend(loc="lower right")
    return figure


def waits(values: Mapping[str, Sequence[float]], *, title: str, ours: str) -> Figure:
    """Draw each wait, in seconds, as one dot on a logarithmic axis; ``ours`` is blue."""
    with style.figure(title, height=1.8 + 0.75 * len(values)) as (figure, axes):
        for row, (name, some) in enumerate(values.items()):
            # Spread the dots, the same way each time.
            height = [row + 0.22 * ((n * 0.618) % 1 - 0.5) * 2 for n in range(len(some))]
            axes.scatter(
                some,
                height,
                color=BLUE if name == ours else GREY,
                marker="o",
                s=26,
                alpha=0.6,
                zorder=3,
            )
            middle = float(pd.Series(some).median())
            axes.plot(
                [middle, middle], [row - 0.32, row + 0.32], color="black", linewidth=2.5, zorder=4
            )
            axes.text(
                middle,
                row - 0.36,
                f"median: {_seconds(float(f'{middle:.2g}'))}",
                ha="center",
                va="bottom",
                size=11,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(_seconds))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks(range(len(values)), values)
        axes.set(xlabel="Wait", ylim=(len(values) - 0.5, -0.75))
        axes.grid(axis="y", visible=False)
    return figure


def _seconds(value: float, _: object = None) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
