"""A figure that compares projections by their errors and rates."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from eventlab.charts import style
from eventlab.charts.style import BLUE, GREY, ORANGE


def ladder(rungs: pd.DataFrame, *, title: str, unit: str = "cents") -> Figure:
    """Draw one row per projection design, with bars for its error in the total and its event rate.

    ``rungs`` has one row per design, indexed by name: ``off`` (the error in ``unit``, negative if
    money is missing) and ``rate`` (events per second). Designs without an error are blue.
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
    axes.set_xlabel(f"Error in the total ({unit})")
