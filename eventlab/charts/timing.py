"""Figures of measurements, such as rates and growth."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from eventlab.charts import style
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE, PURPLE


def bars(values: Mapping[str, float], *, title: str, unit: str, ours: str = "") -> Figure:
    """Draw one horizontal bar per value, longest on top. The bar named ``ours`` is blue."""
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
    """Draw how each column grows with the index, on logarithmic axes. Column ``ours`` is blue."""
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
