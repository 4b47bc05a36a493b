"""A figure that shows the balance of an account."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure

from eventlab.charts import style
from eventlab.charts.frames import frame
from eventlab.charts.style import BLUE, GREEN, GREY, ORANGE
from eventlab.events import Recorded


def balance(events: Iterable[Recorded], *, title: str, unit: str = "cents") -> Figure:
    """Draw the balance of one account over time, and mark each deposit and withdrawal.

    ``events`` are all events of the account, oldest first. ``unit`` is the unit of the amounts.
    """
    table = frame(events)
    amount = table["amount"] if "amount" in table else pd.Series(0, index=table.index)
    amount = amount.fillna(0).astype("int64")
    funds = amount.where(table["type"] == "deposit", -amount).cumsum()
    with style.figure(title) as (figure, axes):
        axes.step(table["time"], funds, where="post", color=GREY, zorder=2)
        axes.fill_between(table["time"], funds, step="post", color=GREY, alpha=0.12, linewidth=0)
        size = 60 if len(table) < 50 else 26
        for kind, colour, marker in (
            ("create", GREEN, "o"),
            ("deposit", BLUE, "^"),
            ("withdraw", ORANGE, "v"),
        ):
            of = table["type"] == kind
            label = f"{kind} ({of.sum()})"
            axes.scatter(
                table["time"][of],
                funds[of],
                color=colour,
                marker=marker,
                s=size,
                label=label,
                zorder=3,
            )
        axes.set(xlabel="Time (UTC)", ylabel=f"Balance after the event ({unit})")
        axes.set_ylim(0, max(1, funds.max()) * 1.2)  # room for the legend
        axes.legend(ncols=3, loc="upper left")
    return figure
