"""Frames have typed columns, and figures have labels."""

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


def test_frame_has_typed_columns_and_utc_times() -> None:
    table = charts.frame(EVENTS)
    assert list(table.columns) == ["position", "time", "id", "version", "type", "amount", "note"]
    assert str(table["time"].dtype) == "datetime64[ms, UTC]"
    assert table["time"][0] == pd.Timestamp("2019-02-28T00:10:21.884Z")
    assert (str(table["version"].dtype), str(table["amount"].dtype)) == ("int64", "Int64")
    assert table["amount"].tolist() == [pd.NA, 100, 30]
    assert list(charts.frame([]).columns) == ["position", "time", "id", "version", "type"]


STATES = pd.DataFrame(
    [
        ("killed", "a 1", "x", 1),
        ("killed", "a 2", "new", 0),
        ("later", "a 1", "done", 1),
        ("later", "a 2", "y", 2),
    ],
    columns=["moment", "event", "state", "deliveries"],
)

FIGURES = {
    "balance": lambda: charts.balance(EVENTS, title="T", unit="cents"),
    "bars": lambda: charts.bars({"a": 1.0, "b": 2.0}, title="T", unit="events/s", ours="b"),
    "growth": lambda: charts.growth(
        pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 20.0]}, index=[10, 100]),
        title="T", xlabel="Events", ylabel="Time (ms)", ours="a",
    ),
    "pending": lambda: charts.pending(STATES, title="T"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_title_and_axis_labels(name: str) -> None:
    figure: Figure = FIGURES[name]()
    [axes] = figure.axes
    assert axes.get_title(loc="left") == "T"
    assert axes.get_xlabel()
    assert axes.get_ylabel() or name == "bars"
    figure.canvas.draw()
    plt.close(figure)


def test_balance_shows_the_funds_after_each_event() -> None:
    figure = charts.balance(EVENTS, title="T")
    [line] = figure.axes[0].lines
    assert list(line.get_ydata()) == [0, 100, 70]
    plt.close(figure)


def test_pending_shows_the_consumer_and_delivery_count_of_each_event() -> None:
    figure = charts.pending(STATES, title="T")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == [
        "held by x",
        "held by y",
        "not delivered yet",
        "acked",
    ]
    assert [(text.get_position(), text.get_text()) for text in figure.axes[0].texts] == [
        ((0, 0), "1×"),
        ((1, 1), "2×"),
    ]
    plt.close(figure)


def test_charts_leave_the_global_style_unchanged() -> None:
    before = dict(matplotlib.rcParams)
    plt.close(charts.balance(EVENTS, title="T"))
    assert dict(matplotlib.rcParams) == before


def test_show_displays_the_figure_with_its_alt_text(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(
        "IPython.display.display",
        lambda data, raw, metadata: shown.append((data, raw, metadata)),
    )
    alt = "The balance rises to 100 and falls to 70."
    charts.balance(EVENTS, title="An account")
    charts.show(alt)
    [(data, raw, metadata)] = shown
    assert raw
    assert set(data) == {"image/png", "text/plain"}
    assert data["text/plain"] == alt
    assert metadata == {"image/png": {"alt": alt}}
    assert plt.get_fignums() == []
