"""Events as DataFrames and figures, in one look.

Every figure is titled, says its units, is legible at half size, and is safe for the colour-blind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Final

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

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


def race(attempts: pd.DataFrame, *, title: str) -> Figure:
    """Attempts of several writers over time: which were stored, which met a conflict.

    ``attempts`` has a row each: ``writer`` (int, from 0), ``ms`` (milliseconds since the start), ``won`` (bool).

    >>> race(attempts, title="Eight writers, one account");
    """
    with _figure(title) as (figure, axes):
        for won, colour, marker, label in ((False, ORANGE, "x", "conflict"), (True, BLUE, "o", "stored")):
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
    """A horizontal bar for each way of doing something, longest first; ``ours`` is drawn in blue.

    >>> bars({"bare XADD": 20_000, "store.append": 14_000}, title="Appends", unit="events/s", ours="store.append");
    """
    ways = sorted(values, key=lambda way: values[way])
    with _figure(title, height=1.4 + 0.55 * len(ways)) as (figure, axes):
        drawn = axes.barh(
            range(len(ways)), [values[way] for way in ways], color=[BLUE if way == ours else GREY for way in ways]
        )
        axes.bar_label(drawn, fmt="{:,.0f}", padding=5)
        axes.set_xlabel(unit)
        axes.set_xlim(0, max(values.values()) * 1.15)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_yticks(range(len(ways)), ways)
        axes.grid(axis="y", visible=False)
    return figure


def growth(table: pd.DataFrame, *, title: str, xlabel: str, ylabel: str, ours: str) -> Figure:
    """How what is measured (columns) grows with what is varied (index), on logarithmic axes; ``ours`` is in blue.

    >>> growth(times, title="Replay", xlabel="Events in the store", ylabel="Time (ms)", ours="own log");
    """
    styles = [(ORANGE, "s"), (GREEN, "D"), (PURPLE, "v"), (GREY, "x")]
    with _figure(title) as (figure, axes):
        for name in table.columns:
            colour, marker = (BLUE, "o") if name == ours else styles.pop(0)
            axes.plot(table.index, table[name], color=colour, marker=marker, markersize=8, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        number = FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.xaxis.set_major_formatter(number)
        axes.yaxis.set_major_formatter(number)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.legend()
    return figure


def shares(values: Mapping[str, Sequence[float]], *, title: str, unit: str) -> Figure:
    """For each name the share of its values that are no larger than what is on the x axis, which is logarithmic.

    >>> shares({"answer": [2.1, 2.3, 9.0]}, title="How long it took", unit="Time (ms)");
    """
    with _figure(title) as (figure, axes):
        for (name, some), colour in zip(values.items(), (BLUE, ORANGE, GREEN, PURPLE), strict=False):
            axes.ecdf(some, color=colour, label=f"{name} (half: {pd.Series(some).median():,.1f})")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.set(xlabel=unit, ylabel="Share of the requests", ylim=(0, 1.02))
        axes.legend(loc="lower right")
    return figure


@contextlib.contextmanager
def _figure(title: str, *, height: float = 4.2) -> Iterator[tuple[Figure, Axes]]:
    """The one place where a figure begins, so that all have one look (charts.mplstyle)."""
    with resources.as_file(resources.files("eventlab") / "charts.mplstyle") as look, plt.style.context(look):
        figure, axes = plt.subplots(figsize=(9, height))
        axes.set_title(title)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        yield figure, axes
