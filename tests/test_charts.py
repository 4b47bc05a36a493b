"""Events become typed tables, and figures that say what they show."""

from __future__ import annotations

import matplotlib

matplotlib.use("agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from eventlab import Recorded, charts

EVENTS = [
    Recorded("a", 1, "create", {}, "1551312621884-0"),
    Recorded("a", 2, "deposit", {"amount": 100}, "1551312827949-0"),
    Recorded("a", 3, "withdraw", {"amount": 30, "note": "rent"}, "1551312847014-1"),
]


def test_a_frame_has_typed_columns_and_utc_times() -> None:
    table = charts.frame(EVENTS)
    assert list(table.columns) == ["position", "time", "id", "version", "type", "amount", "note"]
    assert str(table["time"].dtype) == "datetime64[ms, UTC]"
    assert table["time"][0] == pd.Timestamp("2019-02-28T00:10:21.884Z")
    assert (str(table["version"].dtype), str(table["amount"].dtype)) == ("int64", "Int64")
    assert table["amount"].tolist() == [pd.NA, 100, 30]
    assert list(charts.frame([]).columns) == ["position", "time", "id", "version", "type"]


FIGURES = {
    "balance": lambda: charts.balance(EVENTS, title="T", unit="cents"),
    "race": lambda: charts.race(pd.DataFrame({"writer": [0, 1], "ms": [0.0, 1.0], "won": [True, False]}), title="T"),
    "bars": lambda: charts.bars({"a": 1.0, "b": 2.0}, title="T", unit="events/s", ours="b"),
    "growth": lambda: charts.growth(
        pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 20.0]}, index=[10, 100]),
        title="T", xlabel="Events", ylabel="Time (ms)", ours="a",
    ),
    "shares": lambda: charts.shares({"a": [1.0, 2.0, 3.0]}, title="T", unit="Time (ms)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_titled_labelled_and_can_be_drawn(name: str) -> None:
    figure: Figure = FIGURES[name]()
    [axes] = figure.axes
    assert axes.get_title(loc="left") == "T"
    assert axes.get_xlabel()
    assert axes.get_ylabel() or name == "bars"
    figure.canvas.draw()
    plt.close(figure)


def test_the_balance_follows_the_events() -> None:
    figure = charts.balance(EVENTS, title="T")
    [line] = figure.axes[0].lines
    assert list(line.get_ydata()) == [0, 100, 70]
    plt.close(figure)


def test_the_look_stays_in_its_figures() -> None:
    before = dict(matplotlib.rcParams)
    plt.close(charts.balance(EVENTS, title="T"))
    assert dict(matplotlib.rcParams) == before
