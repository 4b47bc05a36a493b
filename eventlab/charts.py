"""Events as DataFrames and figures, in one look.

Every figure is titled, says its units, is legible at half size, and is safe for the colour-blind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Final

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from eventlab.events import Recorded

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/): told apart by every kind of colour vision.
BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
YELLOW: Final = "#E69F00"
GREY: Final = "#595959"


def frame(events: Iterable[Recorded]) -> pd.DataFrame:
    """Events as a DataFrame: a row each, in the order given.

    Columns: ``position`` (str), ``time`` (UTC), ``id`` (str), ``version`` (int), ``type`` (str), then one for each
    field of the payloads, missing where an event has none.

    >>> frame(store.read("JohnDoe"))[["version", "type", "amount"]]
    """
    rows = [
        {"position": e.position, "time": e.time, "id": e.id, "version": e.version, "type": e.type} | e.data
        for e in events
    ]
    columns = ["position", "time", "id", "version", "type"]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    table["time"] = pd.to_datetime(table["time"], utc=True).astype("datetime64[ms, UTC]")
    table["version"] = table["version"].astype("int64")
    whole = [name for name in table.columns[5:] if pd.api.types.is_float_dtype(table[name])]
    for name in whole:
        if (table[name].dropna() % 1 == 0).all():  # a missing value made floats of whole numbers
            table[name] = table[name].astype("Int64")
    return table


def balance(events: Iterable[Recorded], *, title: str, unit: str = "cents") -> Figure:
    """The balance of one account over time, with each deposit and each withdrawal.

    ``events`` are all events of the account, oldest first; ``unit`` is the smallest unit of its currency.

    >>> balance(store.read("JohnDoe"), title="JohnDoe's year");
    """
    table = frame(events)
    amount = table["amount"] if "amount" in table else pd.Series(0, index=table.index)
    amount = amount.fillna(0).astype("int64")
    funds = amount.where(table["type"] == "deposit", -amount).cumsum()
    with _figure(title) as (figure, axes):
        axes.step(table["time"], funds, where="post", color=GREY, zorder=2)
        axes.fill_between(table["time"], funds, step="post", color=GREY, alpha=0.12, linewidth=0)
        size = 60 if len(table) < 50 else 26
        for kind, colour, marker in (("create", GREEN, "o"), ("deposit", BLUE, "^"), ("withdraw", ORANGE, "v")):
            of = table["type"] == kind
            label = f"{kind} ({of.sum()})"
            axes.scatter(table["time"][of], funds[of], color=colour, marker=marker, s=size, label=label, zorder=3)
        axes.set(xlabel="Time (UTC)", ylabel=f"Balance after the event ({unit})")
        axes.set_ylim(0, max(1, funds.max()) * 1.2)  # room for the legend
        axes.legend(ncols=3, loc="upper left")
    return figure


@contextlib.contextmanager
def _figure(title: str, *, height: float = 4.2) -> Iterator[tuple[Figure, Axes]]:
    """The one place where a figure begins, so that all have one look (charts.mplstyle)."""
    with resources.as_file(resources.files("eventlab") / "charts.mplstyle") as look, plt.style.context(look):
        figure, axes = plt.subplots(figsize=(9, height))
        axes.set_title(title)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        yield figure, axes
