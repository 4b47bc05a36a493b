"""The chart of projections: errors in money, and rates."""

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
        "Error in the total (cents)",
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


def test_projection_charts_leave_the_global_style_unchanged() -> None:
    before = dict(matplotlib.rcParams)
    charts.ladder(RUNGS, title="T")
    assert dict(matplotlib.rcParams) == before
