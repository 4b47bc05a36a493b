"""Frames have typed columns, and figures have labels."""

from __future__ import annotations

import matplotlib

matplotlib.use("agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.dates import date2num
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
    "race": lambda: charts.race(
        pd.DataFrame({"writer": [0, 1], "ms": [0.0, 1.0], "won": [True, False]}), title="T"
    ),
    "bars": lambda: charts.bars({"a": 1.0, "b": 2.0}, title="T", unit="events/s", ours="b"),
    "growth": lambda: charts.growth(
        pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 20.0]}, index=[10, 100]),
        title="T", xlabel="Events", ylabel="Time (ms)", ours="a",
    ),
    "shares": lambda: charts.shares({"a": [1.0, 2.0, 3.0]}, title="T", unit="Time (ms)"),
    "waits": lambda: charts.waits({"a": [2.0, 8.0], "b": [0.002, 0.003]}, title="T", ours="b"),
    "pending": lambda: charts.pending(STATES, title="T"),
    "timeline": lambda: charts.timeline(
        EVENTS,
        {"x": EVENTS[2].position, "y": EVENTS[0].position},
        title="T",
        unfinished={"x": [EVENTS[1].position]},
    ),
    "shifts": lambda: charts.shifts(
        pd.DataFrame({"consumer": ["x", "y"], "s": [0.0, 1.0], "again": [False, True]}),
        [("x", 0.5)],
        title="T",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_title_and_axis_labels(name: str) -> None:
    figure: Figure = FIGURES[name]()
    [axes] = figure.axes
    assert axes.get_title(loc="left") == "T"
    assert axes.get_xlabel()
    assert axes.get_ylabel() or name in ("bars", "waits")
    figure.canvas.draw()
    plt.close(figure)


def test_balance_shows_the_funds_after_each_event() -> None:
    figure = charts.balance(EVENTS, title="T")
    [line] = figure.axes[0].lines
    assert list(line.get_ydata()) == [0, 100, 70]
    plt.close(figure)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


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


def test_timeline_shows_the_progress_and_unfinished_events_of_each_follower() -> None:
    figure = FIGURES["timeline"]()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "the stream",
        "x: 0 new",
        "y: 2 new",
    ]
    ends = [line.get_xydata().tolist()[1] for line in axes.lines]  # type: ignore[union-attr]
    assert ends == [[date2num(EVENTS[2].time), 1.0], [date2num(EVENTS[0].time), 2.0]]  # type: ignore[no-untyped-call]
    (legend,) = figure.legends
    assert "not finished" in [text.get_text() for text in legend.texts]
    plt.close(figure)


def test_shifts_shows_deliveries_and_kills_per_consumer() -> None:
    figure = FIGURES["shifts"]()
    first, again, killed = (points.get_offsets().tolist() for points in figure.axes[0].collections)  # type: ignore[union-attr]
    assert (first, again, killed) == ([[0.0, 1.0]], [[1.0, 2.0]], [[0.5, 1.0]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["x", "y"]
    plt.close(figure)


def test_waits_labels_the_median_in_a_readable_unit() -> None:
    figure = FIGURES["waits"]()
    assert texts(figure) == ["median: 5 s", "median: 2.5 ms"]
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
