"""Charts of projections: errors in money, events per day, and lag."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from eventlab import charts

RUNGS = pd.DataFrame(
    {"off": [20_000, 0, -80_000, 0], "rate": [600.0, 500.0, 900.0, 30_000.0]},
    index=["+=", "list", "skip if older", "one transaction"],
)
DAYS = pd.DataFrame({"deposit": [3, 4], "withdraw": [1, 0]}, index=["2026-01-01", "2026-01-02"])
SAMPLES = pd.DataFrame({"s": [100.0, 101.0, 102.0, 103.0], "events": [0, 0, 50, 0]})


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_ladder_shows_the_error_and_the_rate_of_each_design() -> None:
    figure = charts.ladder(RUNGS, title="T", unit="cents")
    figure.canvas.draw()
    off, rate = figure.axes
    assert figure.get_suptitle() == "T"
    assert (off.get_xlabel(), rate.get_xlabel()) == (
        "Error of the sum (cents)",
        "Events per second",
    )
    assert [bar.get_width() for bar in off.patches] == RUNGS["off"].tolist()
    assert [bar.get_width() for bar in rate.patches] == RUNGS["rate"].tolist()
    assert [text.get_text() for text in off.texts] == ["+20,000", "exact", "-80,000", "exact"]
    heights = {
        label.get_text(): at
        for label, at in zip(off.get_yticklabels(), off.get_yticks(), strict=True)
    }
    assert sorted(heights, key=heights.__getitem__, reverse=True) == RUNGS.index.tolist(), (
        "from top to bottom"
    )


def test_ladder_keeps_all_text_inside_its_panel() -> None:
    figure = charts.ladder(RUNGS, title="T")
    figure.canvas.draw()
    for axes in figure.axes:
        panel = axes.get_window_extent()
        for text in axes.texts:
            extent = text.get_window_extent()
            assert panel.x0 <= extent.x0 < extent.x1 <= panel.x1, text.get_text()


def test_ladder_draws_when_every_design_is_exact() -> None:
    charts.ladder(RUNGS.assign(off=0), title="T").canvas.draw()


def test_by_day_stacks_the_columns_of_each_day() -> None:
    figure = charts.by_day(DAYS, title="T", unit="Events")
    figure.canvas.draw()
    [axes] = figure.axes
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == (
        "T",
        "Day (UTC)",
        "Events",
    )
    assert [(bar.get_y(), bar.get_height()) for bar in axes.patches] == [
        (0, 3),
        (0, 4),
        (3, 1),
        (4, 0),
    ]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "deposit (7)",
        "withdraw (1)",
    ]


def test_lag_starts_at_the_first_sample_and_shows_the_marks() -> None:
    figure = charts.lag(SAMPLES, {"killed": 101.0, "caught up": 102.5}, title="T")
    figure.canvas.draw()
    [axes] = figure.axes
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == (
        "T",
        "Time (s)",
        "Lag (events)",
    )
    curve, *marks = axes.lines
    assert list(zip(curve.get_xdata(), curve.get_ydata(), strict=True)) == [
        (0, 0),
        (1, 0),
        (2, 50),
        (3, 0),
    ]
    assert [mark.get_xdata()[0] for mark in marks] == [1.0, 2.5]
    assert [text.get_text() for text in axes.texts] == ["killed", "caught up"]


def test_lag_draws_without_marks_and_without_lag() -> None:
    charts.lag(SAMPLES.assign(events=0), {}, title="T").canvas.draw()


def test_projection_charts_leave_the_global_style_unchanged() -> None:
    before = dict(matplotlib.rcParams)
    charts.ladder(RUNGS, title="T")
    assert dict(matplotlib.rcParams) == before
